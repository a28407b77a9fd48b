-- The gateway confirmed that no money moved. Counted once, and not for an attempt that moved on.
update payment_index
set    answers = answers + 1, answered_at = $5, not_before = $6
where  order_id = $1 and attempt = $2 and state = 'ended' and position = $3 and answers = $4

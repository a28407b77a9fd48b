-- When an ended attempt is looked up next.
update payment_index set not_before = $4
where  order_id = $1 and attempt = $2 and state = 'ended' and position = $3

-- The gateway refused a refund. Returns it when that is new.
update refund_index
set    state = 'refused', code = $2, since = $3, not_before = $4, position = $5
where  refund_id = $1 and position < $5
returning is_automatic

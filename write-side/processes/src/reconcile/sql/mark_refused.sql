-- The refund was refused; its event was handled before the one that asked for it.
update refund_index set state = 'refused', code = $2, since = $3, not_before = $4
where  refund_id = $1 and state = 'pending'

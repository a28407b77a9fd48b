-- The gateway confirmed that the refund it refused did not go through.
update refund_index set not_before = null where refund_id = $1 and state = 'refused'

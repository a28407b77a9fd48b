-- The refund succeeded; its event was handled before the one that asked for it.
delete from refund_index where refund_id = $1

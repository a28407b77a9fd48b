-- The gateway said no, or was never asked: no money moved.
delete from payment_index where order_id = $1 and attempt = $2 and state <> 'approved'

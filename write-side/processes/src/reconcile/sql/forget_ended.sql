-- The gateway confirmed twice that no money moved.
delete from payment_index
where  order_id = $1 and attempt = $2 and state = 'ended' and position = $3

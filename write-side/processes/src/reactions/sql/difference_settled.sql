-- A difference that is gone; the row is kept.
update payment_difference set settled_at = $4
where  order_id = $1 and attempt = $2 and kind = $3

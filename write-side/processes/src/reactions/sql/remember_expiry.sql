-- An unpaid order and when it expires.
insert into order_expiry (order_id, expires_at, not_before) values ($1, $2, $2)
on conflict (order_id) do nothing

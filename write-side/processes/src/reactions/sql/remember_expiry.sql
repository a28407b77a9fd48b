-- Unpaid orders and when each expires.
insert into order_expiry (order_id, expires_at, not_before)
select n.order_id, n.expires_at, n.expires_at
from   unnest($1::uuid[], $2::timestamptz[]) as n (order_id, expires_at)
on conflict (order_id) do nothing

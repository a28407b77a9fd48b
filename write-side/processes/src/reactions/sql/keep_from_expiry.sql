-- A payment page was opened: its order does not expire before the page ends.
update order_expiry e
set    expires_at = greatest(e.expires_at, n.expires_at),
       not_before = greatest(e.not_before, n.expires_at)
from   unnest($1::uuid[], $2::timestamptz[]) as n (order_id, expires_at)
where  e.order_id = n.order_id

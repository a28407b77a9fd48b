-- orders_expired.sql: one page of a user's expired orders, newest first, with those whose time is over
-- and that are not recorded as expired yet.
select order_id, number, kind,
       order_status_at(status, expires_at, payments, $4) as status, title,
       placed_at, total, paid, refunded, lines
from   order_history
where  user_id = $1 and order_status_at(status, expires_at, payments, $4) = 'EXPIRED'
order  by placed_at desc, order_id desc
limit  $2 offset $3

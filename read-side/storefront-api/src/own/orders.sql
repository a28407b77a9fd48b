-- orders.sql: one page of a user's orders, newest first.
select order_id, number, kind,
       order_status_at(status, expires_at, payments, $4) as status, title, placed_at, total, paid, refunded, lines
from   order_history
where  user_id = $1
order  by placed_at desc, order_id desc
limit  $2 offset $3

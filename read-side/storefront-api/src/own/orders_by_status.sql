-- orders_by_status.sql: one page of a user's orders of one status, newest first.
select order_id, number, kind, status, title, placed_at, total, paid, refunded, lines
from   order_history
where  user_id = $1 and status = $4
order  by placed_at desc, order_id desc
limit  $2 offset $3

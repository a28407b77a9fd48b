-- orders_by_status.sql: one page of a user's orders of one status but EXPIRED, newest first. Those whose
-- time is over are EXPIRED before that is recorded.
select order_id, number, kind, status, title, placed_at, total, paid, refunded, lines
from   order_history
where  user_id = $1 and status = $4
  and  order_status_at(status, expires_at, payments, $5) = status
order  by placed_at desc, order_id desc
limit  $2 offset $3

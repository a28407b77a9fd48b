-- order.sql: one order, if it is this user's.
select order_id, number, kind,
       order_status_at(status, expires_at, payments, $3) as status, title, placed_at, total, paid, refunded, lines,
       expires_at, vat, tax_free, payments, refunds, receiver, version
from   order_history
where  order_id = $1 and user_id = $2

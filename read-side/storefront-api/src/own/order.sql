-- order.sql: one order, if it is this user's.
select order_id, number, kind, status, title, placed_at, total, paid, refunded, lines,
       expires_at, vat, tax_free, payments, refunds, receiver, version
from   order_history
where  order_id = $1 and user_id = $2

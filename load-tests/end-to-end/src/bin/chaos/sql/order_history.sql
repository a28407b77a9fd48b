-- Every order as its owner sees it.
select h.order_id, h.number, h.user_id, h.status, h.line_count, h.total, h.paid, h.refunded,
       h.version
from   order_history h

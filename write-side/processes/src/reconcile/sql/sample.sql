-- Approved payments of a span, drawn by lot.
select order_id, attempt, since
from   payment_index
where  state = 'approved' and $1 <= since and since < $2
order  by random()
limit  $3

-- Approved payments of a span, oldest first, from where the last page ended.
select order_id, attempt, since
from   payment_index
where  state = 'approved' and (since, order_id, attempt) > ($1, $2, $3) and since < $4
order  by since, order_id, attempt
limit  $5

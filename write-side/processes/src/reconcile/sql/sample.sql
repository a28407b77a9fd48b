-- Approved payments of a span, drawn by lot; those with an open difference are compared anyway.
select p.order_id, p.attempt, p.since
from   payment_index p
where  p.state = 'approved' and $1 <= p.since and p.since < $2
  and  not exists (
         select from payment_difference d
         where  d.order_id = p.order_id and d.attempt = p.attempt and d.settled_at is null)
order  by random()
limit  $3

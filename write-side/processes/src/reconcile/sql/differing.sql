-- Approved payments about which a difference is open: compared again until it is gone.
select p.order_id, p.attempt, p.since
from   payment_index p
where  p.state = 'approved'
  and  exists (
         select from payment_difference d
         where  d.order_id = p.order_id and d.attempt = p.attempt and d.settled_at is null)
order  by p.since, p.order_id, p.attempt
limit  $1

-- Payments about which a difference was recorded because a refund had no outcome, and none is pending
-- any more.
select p.order_id, p.attempt, p.since
from   payment_difference d
join   payment_index p on p.order_id = d.order_id and p.attempt = d.attempt
where  d.settled_at is null and d.kind = 'unresolved' and p.state = 'approved'
  and  not exists (
         select from refund_index r
         where  r.order_id = p.order_id and r.attempt = p.attempt and r.state = 'pending')
order  by d.found_at, p.order_id, p.attempt
limit  $1

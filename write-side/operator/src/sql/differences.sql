-- Differences from the gateway's books that are still open, oldest first.
select d.order_id, d.attempt, d.kind, d.ours, d.theirs, d.found_at, d.changed_at
from   payment_difference d
where  d.settled_at is null
order  by d.found_at, d.order_id, d.attempt, d.kind
limit  $1

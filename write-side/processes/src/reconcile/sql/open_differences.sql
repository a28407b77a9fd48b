-- Differences that nobody has settled, oldest first.
select order_id, attempt, kind, ours, theirs, found_at, last_found_at, times
from   reconciliation_difference
where  settled_at is null
order  by found_at
limit  $1

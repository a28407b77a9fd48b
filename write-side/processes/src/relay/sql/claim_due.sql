-- Due rows, each the oldest of its stream: an earlier row that is not done holds later ones back,
-- also a dead or held one, so a stream has at most one row under way, in order.
-- `skip locked` lets a second relay take the rest. `now()` and not `clock_timestamp()`: the index
-- stops at it, while a volatile function would have every row looked at. A claim need not reach the
-- disk by itself: nobody is called before the request is stored, whose commit waits for the disk and
-- takes the claim along.
with relaxed as (
  select set_config('synchronous_commit', 'off', true)
), due as (
  select o.id, o.state
  from   outbox o
  where  o.state in ('ready', 'waiting', 'unknown') and o.not_before <= now()
    and  not exists (
           select from outbox earlier
           where  earlier.aggregate_type = o.aggregate_type and earlier.aggregate_id = o.aggregate_id
             and  (earlier.sequence, earlier.effect_index) < (o.sequence, o.effect_index))
  order  by o.not_before, o.sequence
  limit  $3
  for update of o skip locked
)
update outbox o
set    state = 'in_flight', lease_owner = $1,
       lease_until = clock_timestamp() + make_interval(secs => $2::bigint / 1000.0),
       fence = o.fence + 1, attempt = o.attempt + 1, updated_at = clock_timestamp()
from   due, relaxed
where  o.id = due.id
returning o.id, o.aggregate_type, o.aggregate_id, o.sequence, o.kind, o.payload,
          o.correlation_id, o.attempt, o.fence, due.state as came_from, o.request is not null as was_sent, o.outcome,
          (extract(epoch from clock_timestamp() - o.created_at) * 1000)::bigint as age_ms

-- Rows whose worker let its lease run out. Its own statement, asked for less often than claim_due: a
-- lease lasts seconds, and one statement for both could use neither index. The disk: see there.
with relaxed as (
  select set_config('synchronous_commit', 'off', true)
), due as (
  select o.id, o.state
  from   outbox o
  where  o.state = 'in_flight' and o.lease_until <= now()
  order  by o.lease_until, o.sequence
  limit  $3
  for update of o skip locked
)
update outbox o
set    lease_owner = $1,
       lease_until = clock_timestamp() + make_interval(secs => $2::bigint / 1000.0),
       fence = o.fence + 1, attempt = o.attempt + 1, updated_at = clock_timestamp()
from   due, relaxed
where  o.id = due.id
returning o.id, o.aggregate_type, o.aggregate_id, o.sequence, o.kind, o.payload,
          o.correlation_id, o.attempt, o.fence, due.state as came_from, o.request is not null as was_sent, o.outcome,
          (extract(epoch from clock_timestamp() - o.created_at) * 1000)::bigint as age_ms

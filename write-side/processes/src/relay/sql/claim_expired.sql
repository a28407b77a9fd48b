-- Rows whose worker let its lease run out. Its own statement, asked for less often than claim_due: a
-- lease lasts seconds, and one statement for both could use neither index. Kinds, the disk, the unknown
-- outcome and the planner: see there.
with relaxed as (
  select set_config('synchronous_commit', 'off', true)
), due as (
  select o.id
  from   outbox o
  where  o.state = 'in_flight' and o.lease_until <= now()
    and  o.class = $4 and o.kind = any ($5::text[])
  order  by o.lease_until, o.sequence
  limit  $3
  for update of o skip locked
)
update outbox o
set    lease_owner = $1,
       lease_until = clock_timestamp() + make_interval(secs => $2::bigint / 1000.0),
       claim = gen_random_uuid(), fence = o.fence + 1, attempt = o.attempt + 1,
       unknown_since = case when o.request is null or o.outcome is not null then o.unknown_since
                            else coalesce(o.unknown_since, clock_timestamp()) end,
       updated_at = clock_timestamp()
from   relaxed
where  o.id = any (array (select id from due))
returning o.id, o.aggregate_type, o.aggregate_id, o.sequence, o.kind, o.payload,
          o.correlation_id, o.attempt, o.claim, o.calls, o.outcome, o.created_at,
          (extract(epoch from clock_timestamp() - o.created_at) * 1000)::bigint as age_ms,
          (extract(epoch from clock_timestamp() - o.unknown_since) * 1000)::bigint as unknown_ms,
          (extract(epoch from clock_timestamp() - o.requested_at) * 1000)::bigint as requested_ms

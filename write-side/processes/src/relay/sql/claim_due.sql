-- Due rows of a class and of kinds this worker can execute, each the oldest of its stream: an earlier
-- row that is not done holds later ones back, also a dead or held one, so a stream has at most one row
-- under way, in order; but for a dead page, which moves no money. A request that is still stored may have
-- been sent, so its outcome is unknown.
-- `offset 0` and `any (array (…))` keep the planner from joining: statistics of a moment at which the
-- outbox was empty make it walk whole indexes once a row, and a claim among 2,000 rows took seconds.
-- `skip locked` lets a second relay take the rest. `now()` and not `clock_timestamp()`: the index
-- stops at it, while a volatile function would have every row looked at. A claim need not reach the
-- disk by itself: nothing is sent before the request is stored, whose commit waits for the disk and
-- takes the claim along. A claim that a crash forgets is not handed out again: the token is random.
with relaxed as (
  select set_config('synchronous_commit', 'off', true)
), due as (
  select o.id
  from   outbox o
  where  o.class = $4 and o.state in ('ready', 'waiting', 'unknown') and o.not_before <= now()
    and  o.kind = any ($5::text[])
    and  not exists (
           select from outbox earlier
           where  earlier.aggregate_type = o.aggregate_type and earlier.aggregate_id = o.aggregate_id
             and  (earlier.sequence, earlier.effect_index) < (o.sequence, o.effect_index)
             and  not (earlier.kind = 'payment_ready' and earlier.state = 'dead')
           offset 0)
  order  by o.not_before, o.sequence
  limit  $3
  for update of o skip locked
)
update outbox o
set    state = 'in_flight', lease_owner = $1,
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

-- The same as finish, for many rows at once; returns those whose claim still stood.
with finished as (
  delete from outbox o
  using  unnest($1::uuid[], $3::bigint[]) as w (id, fence)
  where  o.id = w.id and o.lease_owner = $2 and o.fence = w.fence and o.state = 'in_flight'
  returning o.id, o.aggregate_type, o.aggregate_id, o.sequence, o.effect_index, o.kind, o.payload,
            o.correlation_id, o.attempt, o.not_before, o.fence, o.request, o.outcome, o.last_error,
            o.created_at
)
insert into outbox_done
  (id, aggregate_type, aggregate_id, sequence, effect_index, kind, payload,
   correlation_id, state, attempt, not_before, fence, request, outcome, last_error, created_at,
   updated_at)
select f.id, f.aggregate_type, f.aggregate_id, f.sequence, f.effect_index, f.kind, f.payload,
       f.correlation_id, 'done', f.attempt, f.not_before, f.fence, f.request, f.outcome,
       f.last_error, f.created_at, clock_timestamp()
from   finished f
returning id

-- Carried out and told: the row leaves the outbox.
with finished as (
  delete from outbox
  where  id = $1 and lease_owner = $2 and fence = $3 and state = 'in_flight'
  returning id, aggregate_type, aggregate_id, sequence, effect_index, kind, payload,
            correlation_id, attempt, not_before, fence, request, outcome, last_error, created_at
)
insert into outbox_done
  (id, aggregate_type, aggregate_id, sequence, effect_index, kind, payload,
   correlation_id, state, attempt, not_before, fence, request, outcome, last_error, created_at,
   updated_at)
select f.id, f.aggregate_type, f.aggregate_id, f.sequence, f.effect_index, f.kind, f.payload,
       f.correlation_id, 'done', f.attempt, f.not_before, f.fence, f.request, f.outcome,
       f.last_error, f.created_at, clock_timestamp()
from   finished f

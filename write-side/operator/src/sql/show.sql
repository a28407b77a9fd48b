-- One row, also one that was carried out. Without its payload, whose token is sealed, and without the
-- addresses of the payment page, which let whoever has them pay.
select o.id, o.aggregate_type, o.aggregate_id, o.sequence, o.kind, o.state, o.attempt, o.not_before,
       o.lease_owner, o.lease_until, o.last_error, o.created_at, o.updated_at, o.correlation_id,
       o.request, o.outcome - 'redirect' as outcome
from   outbox o
where  o.id = $1
union all
select d.id, d.aggregate_type, d.aggregate_id, d.sequence, d.kind, d.state, d.attempt, d.not_before,
       d.lease_owner, d.lease_until, d.last_error, d.created_at, d.updated_at, d.correlation_id,
       d.request, d.outcome - 'redirect' as outcome
from   outbox_done d
where  d.id = $1
limit  1

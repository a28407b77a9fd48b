-- Rows of the outbox, those that need somebody first.
select o.id, o.aggregate_type, o.aggregate_id, o.sequence, o.kind, o.state, o.attempt, o.not_before,
       o.lease_owner, o.lease_until, o.last_error, o.created_at, o.updated_at
from   outbox o
where  $1::text is null or o.state = $1
order  by o.state = 'dead' desc, o.state = 'held' desc, o.created_at
limit  $2

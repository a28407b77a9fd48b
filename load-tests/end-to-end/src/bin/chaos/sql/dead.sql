-- Rows that wait for an operator, oldest first.
select o.id, o.aggregate_id, o.kind
from   outbox o
where  o.state = 'dead'
order  by o.created_at

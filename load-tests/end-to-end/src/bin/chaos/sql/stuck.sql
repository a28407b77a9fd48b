-- Whatever an operator would have to look at: rows of the outbox that did not end.
select o.aggregate_id, o.kind, o.state, o.attempt, coalesce(o.last_error, '') as last_error
from   outbox o
order  by o.aggregate_id, o.sequence

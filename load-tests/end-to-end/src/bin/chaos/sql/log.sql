-- The events of one kind of aggregate, stream by stream, each in its order.
select e.aggregate_id, e.sequence, e.position, e.event_type, e.payload
from   events e
where  e.aggregate_type = $1
order  by e.aggregate_id, e.sequence

-- The events of one kind of aggregate, stream by stream, each in its order.
select e.position, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version,
       e.payload, e.metadata, e.recorded_at
from   events e
where  e.aggregate_type = $1
order  by e.aggregate_id, e.sequence

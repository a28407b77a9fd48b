-- parked_streams.sql: aggregates with events set aside, the one that waits longest first.
select aggregate_type, aggregate_id
from   parked_event
where  name = $1 and version = $2 and given_up_at is null
group  by aggregate_type, aggregate_id
order  by min(position)

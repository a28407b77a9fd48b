-- blocked.sql: the aggregates whose events are set aside.
select distinct aggregate_type, aggregate_id
from   parked_event
where  name = $1 and version = $2

-- blocked.sql: the aggregates whose events are set aside, at most $3. One that was given up blocks none.
select distinct aggregate_type, aggregate_id
from   parked_event
where  name = $1 and version = $2 and given_up_at is null
limit  $3

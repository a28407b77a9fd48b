-- parked.sql: events set aside, oldest first, of one projection or of all.
select name, version, position, aggregate_type, aggregate_id, event_type, error
from   parked_event
where  $1::text is null or name = $1
order  by name, version, position
limit  $2

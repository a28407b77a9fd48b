-- parked.sql: events set aside or given up ($3), oldest first, of one projection or of all.
select name, version, position, aggregate_type, aggregate_id, event_type, error
from   parked_event
where  ($1::text is null or name = $1) and (given_up_at is not null) = $3
order  by name, version, position
limit  $2

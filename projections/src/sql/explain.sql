-- explain.sql: why parked events can't be folded now; no reason for those that only wait.
update parked_event as parked
set    error = given.error
from   unnest($3::bigint[], $4::text[]) as given (position, error)
where  parked.name = $1 and parked.version = $2 and parked.position = given.position

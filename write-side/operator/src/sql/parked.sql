-- Events that reactions set aside, oldest first.
select p.name, p.position, p.aggregate_type, p.aggregate_id, p.event_type, p.error, p.attempts,
       p.retry_asked, p.parked_at
from   parked_reaction p
order  by p.position, p.name
limit  $1

-- count_parked.sql: how many events are set aside, per projection.
select name, count(*)
from   parked_event
group  by name

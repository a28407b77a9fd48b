-- keep_given_up.sql: what was given up in other versions is given up in this one.
insert into parked_event
  (name, version, position, aggregate_type, aggregate_id, sequence, event_type, error, parked_at,
   given_up_at)
select distinct on (position)
       name, $2, position, aggregate_type, aggregate_id, sequence, event_type, error, parked_at,
       given_up_at
from   parked_event
where  name = $1 and given_up_at is not null
order  by position, version desc
on conflict (name, version, position) do nothing

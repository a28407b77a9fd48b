-- park.sql: sets events aside. Parking one twice keeps the first reason.
insert into parked_event
  (name, version, position, aggregate_type, aggregate_id, sequence, event_type, error)
select $1, $2, given.position, given.aggregate_type, given.aggregate_id, given.sequence,
       given.event_type, given.error
from   unnest($3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[])
       as given (position, aggregate_type, aggregate_id, sequence, event_type, error)
on conflict (name, version, position) do nothing

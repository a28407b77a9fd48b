-- parked_events.sql: what is set aside of one aggregate, with the events themselves, in order.
select event.position, event.aggregate_type, event.aggregate_id, event.sequence, event.event_type,
       event.event_version, event.payload, event.recorded_at
from   parked_event
join   events as event using (position)
where  parked_event.name = $1 and parked_event.version = $2
  and  parked_event.given_up_at is null
  and  parked_event.aggregate_type = $3 and parked_event.aggregate_id = $4
order  by event.position

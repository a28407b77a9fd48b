-- The event of several streams at a version, each by its own, and what follows on it; $4 numbers the
-- questions. The first one proves that the log holds what is remembered, so its body is not needed. A
-- look-up by the primary key for each stream, whatever the planner believes of the sizes.
select q.question, e.sequence, e.position, e.command_id, e.event_type, e.event_version,
       case when q.version < e.sequence then e.payload end as payload
from   unnest($1::text[], $2::text[], $3::bigint[], $4::int[])
       as q (aggregate_type, aggregate_id, version, question)
cross  join lateral (
         select e.sequence, e.position, e.command_id, e.event_type, e.event_version, e.payload
         from   events e
         where  e.aggregate_type = q.aggregate_type and e.aggregate_id = q.aggregate_id
           and  q.version <= e.sequence
         order  by e.sequence
         offset 0
       ) e
order  by q.question, e.sequence

-- As read_events.sql, for some types only. $5 bounds the span that one call walks, because rows that
-- don't match count for nothing in the limit. `limit 1`: see there.
select f.safe, e.position, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type,
       e.event_version, e.payload, e.metadata, e.recorded_at
from   (select p.safe from feed_position p limit 1) f
left   join lateral (
         select x.*
         from   events x
         where  $1 < x.position and x.position <= f.safe and x.position <= $5
           and  (cardinality($3::text[]) = 0 or x.aggregate_type = any ($3))
           and  (cardinality($4::text[]) = 0 or x.event_type = any ($4))
         order  by x.position
         limit  $2
       ) e on true
order  by e.position

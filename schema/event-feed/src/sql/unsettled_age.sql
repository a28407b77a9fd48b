-- unsettled_age.sql: seconds since the oldest event that is recorded and not settled was recorded; 0 when
-- there is none. Measured against the log, because the safe position is what may stand still.
select coalesce(greatest(extract(epoch from clock_timestamp() - oldest.recorded_at), 0), 0)::float8
from   (select safe from feed_position limit 1) as feed
left   join lateral (
         select recorded_at
         from   events
         where  feed.safe < events.position
         order  by events.position
         limit  1
       ) as oldest on true

-- Settled events after a checkpoint, in order. The bound comes from the watcher's row, never from the
-- locks: a snapshot that sees the row is younger than the scan it came from, so it sees everything
-- at or below `safe`. With the locks scanned here, a writer that commits in between is skipped.
-- `limit 1` tells the planner what holds anyway: never analysed, the table counts as thousands of rows,
-- and the estimated cost of the whole is multiplied by them.
select f.safe, e.position, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type,
       e.event_version, e.payload, e.metadata, e.recorded_at
from   (select p.safe from feed_position p limit 1) f
left   join lateral (
         select x.*
         from   events x
         where  $1 < x.position and x.position <= f.safe
         order  by x.position
         limit  $2
       ) e on true
order  by e.position

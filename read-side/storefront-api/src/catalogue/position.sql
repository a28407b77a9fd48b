-- position.sql: how much of the log all of these projections show, in the versions that are served.
-- Read before their rows, so that the rows show at least this much.
select case when count(*) = cardinality($1::text[]) then min(position) else 0 end
from   projection_position
where  name = any($1)

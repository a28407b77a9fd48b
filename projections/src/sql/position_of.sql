-- position_of.sql: how far a version is, all shards together.
select min(position)
from   projection_shard
where  name = $1 and version = $2
having count(*) > 0

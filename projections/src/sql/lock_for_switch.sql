-- lock_for_switch.sql: the served version and the one to be served, both standing still until the
-- switch is committed.
select projection.version, projection.shape, projection_shard.position
from   projection
join   projection_shard using (name, version)
where  projection.name = $1
  and  (projection.state = 'live' or (projection.version = $2 and projection.state = 'ready'))
order  by projection.version
for update of projection_shard

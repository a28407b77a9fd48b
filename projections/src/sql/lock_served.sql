-- lock_served.sql: where the served version is. It stands still until the switch is committed.
select projection_shard.position
from   projection
join   projection_shard using (name, version)
where  projection.name = $1 and projection.state = 'live'
for update of projection_shard

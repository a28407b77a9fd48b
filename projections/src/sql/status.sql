-- status.sql: every version that has tables, with how far it is behind what is settled.
select projection.name, projection.version, projection.state, shard.position, feed.safe,
       coalesce(extract(epoch from clock_timestamp() - oldest.recorded_at)::bigint, 0),
       (select count(*)
        from   parked_event
        where  parked_event.name = projection.name and parked_event.version = projection.version),
       case when clock_timestamp() < shard.lease_until then shard.lease_owner end,
       shard.last_error
from   projection
join   projection_shard as shard using (name, version)
cross  join feed_position as feed
left   join lateral (
         select recorded_at
         from   events
         where  shard.position < events.position and events.position <= feed.safe
         order  by events.position
         limit  1
       ) as oldest on true
where  projection.state <> 'retired'
order  by projection.name, projection.version

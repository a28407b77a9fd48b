-- status.sql: every version that has tables, with how far it is behind what is settled. One that is
-- followed is stuck when for $1 seconds it has not moved and the oldest event that it lacks is recorded.
select it.*, case when it.behind_since < clock_timestamp() - make_interval(secs => $1)
                       and it.state not in ('building', 'refused')
                  then it.behind_since end
from  (
  select projection.name, projection.version, projection.state, shard.position, feed.safe,
         coalesce(extract(epoch from clock_timestamp() - oldest.recorded_at)::bigint, 0),
         (select count(*)
          from   parked_event as parked
          where  parked.name = projection.name and parked.version = projection.version
            and  parked.given_up_at is null),
         (select count(*)
          from   parked_event as parked
          where  parked.name = projection.name and parked.version = projection.version
            and  parked.given_up_at is not null),
         case when clock_timestamp() < shard.lease_until then shard.lease_owner end,
         shard.last_error,
         case when oldest.recorded_at is not null
              then greatest(oldest.recorded_at, shard.moved_at) end as behind_since
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
) as it
order  by it.name, it.version

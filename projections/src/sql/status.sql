-- status.sql: every version that has tables, with how far it is behind what is settled. One that is
-- followed is stuck when for $1 seconds it has not moved and the oldest event that it lacks is recorded,
-- or when it stands beyond the log: it skips whatever is recorded up to there.
select it.name, it.version, it.state, it.position, it.safe, it.lag_seconds, it.parked, it.given_up,
       it.lease_owner,
       case when it.is_beyond
            then format('stands beyond the newest position of the log, %s: what is recorded up to there is'
                        ' skipped; rebuild it', it.newest)
            else it.last_error end,
       case when it.state in ('building', 'refused') then null
            when it.is_beyond then it.moved_at
            when it.behind_since < clock_timestamp() - make_interval(secs => $1) then it.behind_since
       end
from  (
  select projection.name, projection.version, projection.state, shard.position, feed.safe,
         log.last_value as newest, log.last_value < shard.position as is_beyond,
         coalesce(extract(epoch from clock_timestamp() - oldest.recorded_at)::bigint, 0) as lag_seconds,
         (select count(*)
          from   parked_event as parked
          where  parked.name = projection.name and parked.version = projection.version
            and  parked.given_up_at is null) as parked,
         (select count(*)
          from   parked_event as parked
          where  parked.name = projection.name and parked.version = projection.version
            and  parked.given_up_at is not null) as given_up,
         case when clock_timestamp() < shard.lease_until then shard.lease_owner end as lease_owner,
         shard.last_error, shard.moved_at,
         case when oldest.recorded_at is not null
              then greatest(oldest.recorded_at, shard.moved_at) end as behind_since
  from   projection
  join   projection_shard as shard using (name, version)
  cross  join feed_position as feed
  cross  join event_position as log
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

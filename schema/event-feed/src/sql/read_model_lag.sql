-- read_model_lag.sql: how far every served read model is behind what is settled. A shard is stuck when
-- for $1 seconds it has not moved and the oldest event that it lacks has been recorded, or when it
-- stands beyond the log and skips what is recorded up to there.
select projection.name,
       max(greatest(feed.safe - shard.position, 0)),
       coalesce(max(greatest(extract(epoch from clock_timestamp() - oldest.recorded_at), 0)), 0)::float8,
       count(*) filter (where log.last_value < shard.position
                           or (greatest(shard.moved_at, oldest.recorded_at)
                                 < clock_timestamp() - make_interval(secs => $1)
                               and oldest.recorded_at is not null)),
       (select count(*)
        from   parked_event
        where  parked_event.name = projection.name and parked_event.version = projection.version
          and  parked_event.given_up_at is null)
from   projection
join   projection_shard as shard using (name, version)
cross  join (select safe from feed_position limit 1) as feed
cross  join (select last_value from event_position limit 1) as log
left   join lateral (
         select recorded_at
         from   events
         where  shard.position < events.position and events.position <= feed.safe
         order  by events.position
         limit  1
       ) as oldest on true
where  projection.state = 'live'
group  by projection.name, projection.version
order  by projection.name

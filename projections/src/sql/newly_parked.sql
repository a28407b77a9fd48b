-- newly_parked.sql: how many events version $2 has set aside and the served version has, how many of the
-- former the served one does not lack, and the first of those. What was given up lacks in both.
with served as (
  select parked.position, parked.given_up_at
  from   projection
  join   parked_event as parked using (name, version)
  where  projection.name = $1 and projection.state = 'live'
)
select count(*),
       (select count(*) from served where served.given_up_at is null),
       count(*) filter (where served.position is null),
       min(parked.position) filter (where served.position is null)
from   parked_event as parked
left   join served on served.position = parked.position
where  parked.name = $1 and parked.version = $2 and parked.given_up_at is null

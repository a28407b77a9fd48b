-- Forward only: two watchers may meet here, and both are right. Returns what stands afterwards.
with moved as (
  update feed_position f
  set    safe = $1, updated_at = clock_timestamp()
  where  f.safe < $1
  returning f.safe
)
select m.safe from moved m
union all
select f.safe from feed_position f where not exists (select from moved)

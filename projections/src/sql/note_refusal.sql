-- note_refusal.sql: why an aggregate's parked events can't be written now; the reason stands on the first.
update parked_event
set    error = case when position = (
                 select min(first.position)
                 from   parked_event as first
                 where  first.name = $1 and first.version = $2 and first.given_up_at is null
                   and  first.aggregate_type = $3 and first.aggregate_id = $4)
               then $5::text end
where  name = $1 and version = $2 and given_up_at is null
  and  aggregate_type = $3 and aggregate_id = $4

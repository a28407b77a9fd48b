-- Whether an earlier event of the same stream was set aside: order is worth more than speed.
select exists (
  select from parked_reaction where name = $1 and aggregate_id = $2 and position < $3)

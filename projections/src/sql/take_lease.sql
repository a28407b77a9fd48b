-- take_lease.sql: a new epoch for a shard that nobody holds, or that its holder left to run out. By
-- the database's clock, so that machines need not agree on the time.
update projection_shard
set    epoch = epoch + 1, lease_owner = $4,
       lease_until = clock_timestamp() + make_interval(secs => $5)
where  name = $1 and version = $2 and shard = $3
  and  (lease_owner is null or lease_until < clock_timestamp())
returning epoch, position

-- renew_lease.sql: an idle worker keeps its shard.
update projection_shard
set    lease_until = clock_timestamp() + make_interval(secs => $5)
where  name = $1 and version = $2 and shard = $3 and epoch = $4

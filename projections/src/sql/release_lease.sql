-- release_lease.sql: another worker may go on at once.
update projection_shard
set    lease_owner = null, lease_until = null
where  name = $1 and version = $2 and shard = $3 and epoch = $4

-- fence.sql: moves the checkpoint, and with it proves that this worker still may. Run before any
-- row is touched: the row stays locked until commit, so whoever else would fold waits or is refused.
update projection_shard
set    position = $6, moved_at = clock_timestamp(), last_error = null,
       lease_until = clock_timestamp() + make_interval(secs => $7)
where  name = $1 and version = $2 and shard = $3 and epoch = $4 and position = $5

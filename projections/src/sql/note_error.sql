-- note_error.sql: what stops a shard now, for `projector status`.
update projection_shard
set    last_error = $5
where  name = $1 and version = $2 and shard = $3 and epoch = $4

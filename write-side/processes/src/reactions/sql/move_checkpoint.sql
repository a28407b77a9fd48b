-- Never back: a slower twin of this worker may have read the same batch.
update reaction_checkpoint
set    position = $2, updated_at = clock_timestamp()
where  name = $1 and position < $2

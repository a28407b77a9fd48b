-- Nothing is done about it until it is released; a row under way cannot be held.
update outbox
set    state = 'held', updated_at = clock_timestamp()
where  id = $1 and state in ('ready', 'waiting', 'unknown', 'dead')

-- Back to the relay. Whether a held row was ever sent is told by its request.
update outbox
set    state = case when request is null then 'ready' else 'unknown' end,
       not_before = clock_timestamp(), updated_at = clock_timestamp()
where  id = $1 and state = 'held'

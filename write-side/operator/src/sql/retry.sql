-- The relay takes it up again: looks it up first if anything was ever sent.
update outbox
set    state = case when request is null then 'ready' else 'unknown' end, attempt = 0, outcome = null,
       not_before = clock_timestamp(), updated_at = clock_timestamp()
where  id = $1 and state in ('dead', 'held', 'waiting', 'unknown')

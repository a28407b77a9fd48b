-- Back to the relay. What was sent, or may have been, is looked up first, however long it was held; a
-- stored outcome is only reported.
update outbox
set    state = case when outcome is not null then 'waiting'
                    when request is not null or unknown_since is not null then 'unknown'
                    else 'ready' end,
       not_before = clock_timestamp(), updated_at = clock_timestamp()
where  id = $1 and state = 'held'

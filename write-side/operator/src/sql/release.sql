-- Back to the relay. What was sent, or may have been, is looked up first, however long it was held; a
-- stored outcome is only reported. The time in which look-ups must be answered begins anew.
update outbox
set    state = case when outcome is not null then 'waiting'
                    when request is not null or unknown_since is not null then 'unknown'
                    else 'ready' end,
       unknown_since = case when unknown_since is not null then clock_timestamp() end,
       not_before = clock_timestamp(), updated_at = clock_timestamp()
where  id = $1 and state = 'held'

-- The relay takes it up again. A stored outcome is reported again, unless it is that the relay gave up;
-- what was sent, or may have been, is looked up first, with the time and the calls of a new row.
update outbox
set    state = case when outcome ->> 'settled' <> 'unresolved' then 'waiting'
                    when request is not null or unknown_since is not null then 'unknown'
                    else 'ready' end,
       outcome = case when outcome ->> 'settled' <> 'unresolved' then outcome end,
       unknown_since = case when unknown_since is not null then clock_timestamp() end,
       attempt = 0, calls = 0, not_before = clock_timestamp(), updated_at = clock_timestamp()
where  id = $1 and state in ('dead', 'held', 'waiting', 'unknown')

-- An operator found out that no money moved: told to the aggregate by the relay, like any outcome.
update outbox
set    state = 'waiting', outcome = $2, last_error = $3, attempt = 0,
       not_before = clock_timestamp(), updated_at = clock_timestamp()
where  id = $1 and state in ('dead', 'held')

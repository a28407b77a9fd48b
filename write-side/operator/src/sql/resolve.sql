-- An operator found out that no money moved: reported to the aggregate by the relay, like any outcome.
-- Not against an outcome that is stored and reports that it did.
update outbox
set    state = 'waiting', outcome = $2, last_error = $3, attempt = 0,
       not_before = clock_timestamp(), updated_at = clock_timestamp()
where  id = $1 and state in ('dead', 'held')
  and  coalesce(outcome ->> 'settled', '') <> all (array['approved', 'given_back'])

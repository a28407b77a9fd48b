-- What came of it, before the aggregate is told: after a crash it is told again, and nobody is called.
update outbox
set    outcome = $4, updated_at = clock_timestamp()
where  id = $1 and lease_owner = $2 and claim = $3 and lease_until is not null

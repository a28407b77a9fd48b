-- Gives the row back until later. A try that was our own restraint is not counted.
update outbox
set    state = $4, not_before = clock_timestamp() + make_interval(secs => $5::bigint / 1000.0),
       attempt = attempt - case when $6 then 0 else 1 end, last_error = $7,
       lease_owner = null, lease_until = null, updated_at = clock_timestamp()
where  id = $1 and lease_owner = $2 and fence = $3 and lease_until is not null

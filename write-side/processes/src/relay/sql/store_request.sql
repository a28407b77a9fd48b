-- What is about to be sent, before it is sent. Renews the lease, so that a worker whose row was
-- taken over finds out here and calls nobody.
update outbox
set    request = $4, lease_until = clock_timestamp() + make_interval(secs => $5::bigint / 1000.0),
       updated_at = clock_timestamp()
where  id = $1 and lease_owner = $2 and fence = $3 and state = 'in_flight'

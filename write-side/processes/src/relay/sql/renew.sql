-- Keeps this worker's leases alive while it lives; one that got nowhere for minutes is let go.
update outbox
set    lease_until = clock_timestamp() + make_interval(secs => $2::bigint / 1000.0)
where  lease_owner = $1 and state = 'in_flight'
  and  clock_timestamp() - interval '2 minutes' < updated_at

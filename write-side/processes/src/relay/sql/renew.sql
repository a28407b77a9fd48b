-- Keeps this worker's leases alive while it lives; one that got nowhere for minutes is let go. Rows
-- with most of their lease left need nothing, so that a burst of short calls is not written once
-- more; a row that is being written has its turn next time, so that nobody waits for anybody.
update outbox o
set    lease_until = clock_timestamp() + make_interval(secs => $2::bigint / 1000.0)
from   (select id
        from   outbox
        where  lease_owner = $1 and state = 'in_flight'
          and  lease_until < clock_timestamp() + make_interval(secs => $2::bigint / 1500.0)
          and  clock_timestamp() - interval '2 minutes' < updated_at
        for    update skip locked) as mine
where  o.id = mine.id

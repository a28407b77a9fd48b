-- Keeps the leases of the rows that this worker has in hand ($3 under the claims $4) alive; one that got
-- nowhere for minutes is let go. Rows with most of their lease left need nothing, so that a burst of
-- short calls is not written once more; a row that is being written has its turn next time, so that
-- nobody waits for anybody. One look by key for each row: see claim_due.sql; the state is
-- not asked for, because the index of leases would be taken for it.
update outbox o
set    lease_until = clock_timestamp() + make_interval(secs => $2::bigint / 1000.0)
where  o.id = any (array (
         select mine.id
         from   unnest($3::uuid[], $4::uuid[]) as carried (id, claim)
         cross  join lateral (
                  select x.id
                  from   outbox x
                  where  x.id = carried.id and x.claim = carried.claim
                    and  x.lease_owner = $1
                    and  x.lease_until < clock_timestamp() + make_interval(secs => $2::bigint / 1500.0)
                    and  clock_timestamp() - interval '2 minutes' < x.updated_at
                  for    update skip locked) as mine))

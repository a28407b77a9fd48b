-- The same as store_request, for many rows at once; returns those whose claim still stood.
update outbox o
set    request = w.request,
       lease_until = clock_timestamp() + make_interval(secs => $5::bigint / 1000.0),
       updated_at = clock_timestamp()
from   unnest($1::uuid[], $3::bigint[], $4::jsonb[]) as w (id, fence, request)
where  o.id = w.id and o.lease_owner = $2 and o.fence = w.fence and o.state = 'in_flight'
returning o.id

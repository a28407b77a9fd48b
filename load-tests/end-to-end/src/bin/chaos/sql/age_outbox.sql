-- Rows of the outbox are so many seconds older. Leases are left alone: their holders live in real
-- time.
with aged as (select o.id from outbox o order by o.id for update)
update outbox o
set    created_at = o.created_at - make_interval(secs => $1::bigint),
       not_before = o.not_before - make_interval(secs => $1::bigint)
from   aged
where  aged.id = o.id

-- Payments whose money moved or may have. Approved is the end: nothing makes it doubtful again.
insert into payment_index (order_id, attempt, state, since, not_before)
select n.order_id, n.attempt, n.state, n.since, n.not_before
from   unnest($1::uuid[], $2::int[], $3::text[], $4::timestamptz[], $5::timestamptz[])
       as n (order_id, attempt, state, since, not_before)
on conflict (order_id, attempt) do update
set    state = excluded.state, since = excluded.since, not_before = excluded.not_before
where  payment_index.state <> 'approved'

-- Payments whose money moved or may have. Approved is the end: nothing makes it doubtful again. An
-- event that is handled after a later one changes nothing.
insert into payment_index (order_id, attempt, state, since, not_before, position)
select n.order_id, n.attempt, n.state, n.since, n.not_before, n.position
from   unnest($1::uuid[], $2::int[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::bigint[])
       as n (order_id, attempt, state, since, not_before, position)
on conflict (order_id, attempt) do update
set    state = excluded.state, since = excluded.since, not_before = excluded.not_before,
       position = excluded.position, answers = 0, answered_at = null
where  payment_index.state <> 'approved'
  and  (excluded.state = 'approved' or payment_index.position < excluded.position)

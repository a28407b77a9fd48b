-- A payment whose money moved or may have. Approved is the end: nothing makes it doubtful again.
insert into payment_index (order_id, attempt, state, since, not_before) values ($1, $2, $3, $4, $5)
on conflict (order_id, attempt) do update
set    state = excluded.state, since = excluded.since, not_before = excluded.not_before
where  payment_index.state <> 'approved'

-- A difference: found for the first time, found again, or back after it was settled.
insert into reconciliation_difference
       (order_id, attempt, kind, ours, theirs, found_at, last_found_at)
values ($1, $2, $3, $4, $5, $6, $6)
on conflict (order_id, attempt, kind) do update
set    ours = excluded.ours, theirs = excluded.theirs, last_found_at = excluded.last_found_at,
       times = reconciliation_difference.times + 1, settled_at = null

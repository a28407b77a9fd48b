-- A difference: new, back after it was settled, or open with a side that says something else.
insert into payment_difference (order_id, attempt, kind, ours, theirs, found_at, changed_at)
values ($1, $2, $3, $4, $5, $6, $6)
on conflict (order_id, attempt, kind) do update
set    ours = excluded.ours, theirs = excluded.theirs, changed_at = excluded.changed_at,
       found_at = case when payment_difference.settled_at is null then payment_difference.found_at
                       else excluded.found_at end,
       settled_at = null

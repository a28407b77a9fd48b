-- The last subscription of a recurring key has ended: the key is to be deactivated. One that is missing
-- stays so, and is marked if it arrives after all (V015).
insert into billing_keys (billing_key_id, user_id, state, ended_at)
values ($1, $2, 'missing', $3)
on conflict (billing_key_id) do update
set    state = case billing_keys.state when 'active' then 'ending' else billing_keys.state end,
       ended_at = coalesce(billing_keys.ended_at, excluded.ended_at),
       updated_at = clock_timestamp()

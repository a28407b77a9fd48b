-- An existing key stays: replacing it would make everything sealed so far unreadable.
insert into user_keys (user_id, wrapped_key, created_at)
values ($1, $2, clock_timestamp())
on conflict (user_id) do nothing

-- A recurring approval was found by a look-up, which holds no key: it is missing, not absent.
insert into billing_keys (billing_key_id, user_id, state) values ($1, $2, 'missing')
on conflict (billing_key_id) do nothing

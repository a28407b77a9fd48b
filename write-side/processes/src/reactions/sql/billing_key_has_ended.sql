-- Whether a recurring key was marked before.
select exists (select from billing_keys where billing_key_id = $1 and ended_at is not null)

-- Whether a key is stored: a worker that lost its lease stores the key of its answer all the same.
select exists (
  select from billing_keys k where k.billing_key_id = $1 and k.sealed_sid is not null)

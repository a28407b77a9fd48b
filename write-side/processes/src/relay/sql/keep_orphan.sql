-- A recurring key that is not the first of its id. The same payment yields the same key however often
-- it is told (the seal differs each time), so only another payment's key is another key.
insert into billing_key_orphans (billing_key_id, user_id, sealed_sid, partner_user_id, cid, tid)
select $1, $2, $3, $4, $5, $6
from   billing_keys
where  billing_keys.billing_key_id = $1
  and  billing_keys.tid is distinct from $6
  and  billing_keys.sealed_sid is distinct from $3
on conflict (billing_key_id, tid) do nothing

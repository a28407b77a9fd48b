-- Every recurring key, sealed.
select k.billing_key_id, k.user_id, k.sealed_sid, k.state
from   billing_keys k

-- Recurring keys that were lost with their answer, oldest first.
select k.billing_key_id, k.user_id, k.created_at
from   billing_keys k
where  k.state = 'missing'
order  by k.created_at
limit  $1

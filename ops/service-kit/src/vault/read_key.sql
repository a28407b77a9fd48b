-- No row: never signed up, or erased. Both read as blank.
select wrapped_key
from   user_keys
where  user_id = $1

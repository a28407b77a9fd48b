-- Who is missing never signed up, or was erased. Both read as blank.
select user_id, wrapped_key
from   user_keys
where  user_id = any($1)

-- The oldest bound that an append under way has published, rebuilt from its lower 31 bits as the
-- number nearest to $1; null when none is under way.
select min($1::bigint + (l.objid::bigint - ($1::bigint & 2147483647) + 3221225472) % 2147483648 - 1073741824)
from   pg_locks l
where  l.locktype = 'advisory' and l.objsubid = 2
  and  l.classid = event_append_class()::oid
  and  l.database = (select d.oid from pg_database d where d.datname = current_database())

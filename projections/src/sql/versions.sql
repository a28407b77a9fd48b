-- versions.sql: every version there ever was.
select name, version, shape, state, served_at
from   projection
order  by name, version

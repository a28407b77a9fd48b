-- versions.sql: every version there ever was.
select name, version, shape, state
from   projection
order  by name, version

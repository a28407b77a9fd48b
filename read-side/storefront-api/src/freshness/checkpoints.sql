-- checkpoints.sql: how far the served version of each projection has come.
select name, position
from   projection_position

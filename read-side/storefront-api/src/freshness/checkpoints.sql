-- checkpoints.sql: how far the served version of each projection has come, and the last position that
-- the log has given out.
select checkpoint.name, checkpoint.position, log.last_value
from   projection_position as checkpoint
cross  join event_position as log

-- The newest position handed out. Its own statement: the bound is looked for after it, never with it.
select s.last_value
from   event_position s

-- What the watcher found, and whether there is more to find.
select f.safe, s.last_value
from   feed_position f, event_position s

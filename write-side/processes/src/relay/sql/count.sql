-- How many rows stand where, and how old the oldest is; the table is small by design.
select o.state, count(*)::bigint as rows,
       (extract(epoch from clock_timestamp() - min(o.created_at)) * 1000)::bigint as oldest_ms
from   outbox o
group  by o.state

-- A row that an operator wants to end as not done. Its age and that of its request are the database's, as
-- for the relay. A request that is stored was sent, or may have been.
select o.kind, o.payload, o.state, o.aggregate_id,
       o.request is not null or o.unknown_since is not null as was_sent,
       (extract(epoch from clock_timestamp() - o.created_at) * 1000)::bigint as age_ms,
       (extract(epoch from clock_timestamp() - o.requested_at) * 1000)::bigint as requested_ms
from   outbox o
where  o.id = $1 and o.state in ('dead', 'held')

-- What still moves, what is stuck, and how far everybody has come. A row behind a dead or held one
-- of its stream does not move.
select
  (select count(*) from outbox o
   where  o.state in ('ready', 'in_flight', 'waiting', 'unknown')
     and  not exists (
            select from outbox earlier
            where  earlier.aggregate_type = o.aggregate_type and earlier.aggregate_id = o.aggregate_id
              and  (earlier.sequence, earlier.effect_index) < (o.sequence, o.effect_index)
              and  earlier.state in ('dead', 'held'))) as moving,
  (select coalesce(max(position), 0) from events) as head,
  (select coalesce(min(position), 0) from reaction_checkpoint) as reacted,
  (select coalesce(min(position), 0) from projection_position) as shown

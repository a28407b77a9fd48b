-- Payments that should have an outcome by now, with the outbox row that is to bring it, if any.
select p.order_id, p.attempt, p.since, o.id as row_id, o.state as row_state
from   payment_index p
left   join outbox o
       on  o.aggregate_type = 'order' and o.aggregate_id = p.order_id::text
       and o.kind = 'payment_approve'
       and (o.payload #>> '{payment_approve,terms,attempt}')::int = p.attempt
where  p.state <> 'approved' and p.state <> 'ended' and p.not_before <= $1
order  by p.not_before
limit  $2

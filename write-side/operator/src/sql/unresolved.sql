-- Payments that should have an outcome by now, with the outbox row that is to bring it, if any.
select p.order_id, p.attempt, p.state, p.since, p.not_before,
       o.id as row_id, o.state as row_state, o.last_error
from   payment_index p
left   join outbox o
       on  o.aggregate_type = 'order' and o.aggregate_id = p.order_id::text
       and o.kind = 'payment_approve'
       and (o.payload #>> '{payment_approve,terms,attempt}')::int = p.attempt
where  p.state = 'unresolved' or (p.state = 'approving' and p.since <= $1)
order  by p.since, p.order_id, p.attempt
limit  $2

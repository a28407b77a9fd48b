-- Refunds that need an operator, those that are due first, with the outbox row that is to carry them
-- out, if any.
select r.refund_id, r.order_id, r.attempt, r.amount, r.state, r.is_automatic, r.code, r.requested_at,
       r.since, r.due_on, r.not_before, o.id as row_id, o.state as row_state, o.last_error
from   refund_index r
left   join outbox o
       on  o.aggregate_type = 'order' and o.aggregate_id = r.order_id::text
       and o.kind = 'payment_cancel'
       and o.payload #>> '{payment_cancel,refund_id}' = r.refund_id::text
where  (r.state = 'refused' and not $2)
   or  (r.state = 'pending' and (r.requested_at <= $1 or o.state in ('dead', 'held')))
order  by r.due_on, r.requested_at, r.refund_id
limit  $3

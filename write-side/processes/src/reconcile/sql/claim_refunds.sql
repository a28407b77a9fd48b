-- Refunds whose look-up is due, with the outbox row that is to carry them out, if any. Put off for as
-- long as they have been open, an hour at most, so that another worker does not look them up as well.
with due as (
  select r.refund_id
  from   refund_index r
  where  r.not_before <= $1
  order  by r.not_before
  limit  $2
  for update skip locked
), claimed as (
  update refund_index r
  set    not_before = $1 + least(greatest($1 - r.requested_at, interval '1 minute'), interval '1 hour')
  from   due
  where  r.refund_id = due.refund_id
  returning r.refund_id, r.order_id, r.state
)
select c.refund_id, c.order_id, c.state, o.id as row_id, o.state as row_state,
       o.outcome ->> 'settled' as settled
from   claimed c
left   join outbox o
       on  o.aggregate_type = 'order' and o.aggregate_id = c.order_id::text
       and o.kind = 'payment_cancel'
       and o.payload #>> '{payment_cancel,refund_id}' = c.refund_id::text

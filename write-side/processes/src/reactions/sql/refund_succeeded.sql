-- A refund succeeded: it leaves the table, and with it the one refused refund whose place it took: of
-- those of the same payment that were asked for earlier the oldest of its amount, else the oldest that
-- is no larger. The shop still owes the others. A refund that was itself refused took no other's place.
with succeeded as (
  delete from refund_index s
  where  s.refund_id = $1
  returning s.order_id, s.attempt, s.amount, s.asked_position, s.state
), replaced as (
  select r.refund_id
  from   refund_index r
  join   succeeded s on s.order_id = r.order_id and s.attempt = r.attempt
  where  s.state = 'pending' and r.state = 'refused'
    and  r.amount <= s.amount and r.asked_position < s.asked_position
  order  by r.amount = s.amount desc, r.asked_position
  limit  1
)
delete from refund_index r
using  replaced
where  r.refund_id = replaced.refund_id

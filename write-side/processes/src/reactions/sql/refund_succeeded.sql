-- A refund succeeded: it leaves the table, and with it what it took the place of, which is a refused
-- one of the same payment that was asked for earlier and is no larger.
delete from refund_index r
using  refund_index s
where  s.refund_id = $1
  and  (r.refund_id = s.refund_id
        or (r.order_id = s.order_id and r.attempt = s.attempt and r.state = 'refused'
            and r.amount <= s.amount and r.asked_position < s.asked_position))

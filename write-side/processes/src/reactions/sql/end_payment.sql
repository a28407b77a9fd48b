-- Attempts that ended. A row says that the gateway was asked to approve this one, so it may have
-- moved the money all the same; without a row it was never asked, and there is nothing to keep.
update payment_index p
set    state = 'ended', since = n.since, not_before = n.since, position = n.position,
       answers = 0, answered_at = null
from   unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::bigint[])
       as n (order_id, attempt, since, position)
where  p.order_id = n.order_id and p.attempt = n.attempt
  and  p.state <> 'approved' and p.position < n.position

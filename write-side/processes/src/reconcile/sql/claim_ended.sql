-- Ended attempts whose look-up is due, put off until the claim's end, so that another worker does not
-- look them up as well.
with due as (
  select p.order_id, p.attempt
  from   payment_index p
  where  p.state = 'ended' and p.not_before <= $1
  order  by p.not_before
  limit  $2
  for update skip locked
)
update payment_index p
set    not_before = $3
from   due
where  p.order_id = due.order_id and p.attempt = due.attempt
returning p.order_id, p.attempt, p.since, p.position, p.answers, p.answered_at

-- The roles of checkout-api and worker update columns instead of whole tables.
set local lock_timeout = '5s';

-- What an effect is (kind, payload, stream, correlation) is decided by the append, whose an account or a
-- key is when its row is made, and neither changes afterwards. pillivery_service keeps what it had.
revoke update on credentials, outbox, parked_reaction from pillivery_writer;
grant update (failed_logins, locked_until) on credentials to pillivery_writer;
grant update (state, outcome, unknown_since, last_error, attempt, calls, not_before, updated_at)
  on outbox to pillivery_writer;
grant update (retry_asked) on parked_reaction to pillivery_writer;

revoke update on
  outbox, billing_keys, reaction_checkpoint, payment_difference, parked_reaction, order_expiry,
  payment_index, refund_index, gateway_breaker
from pillivery_worker;
grant update (
  state, attempt, not_before, lease_owner, lease_until, claim, fence, request, outcome, last_error,
  updated_at, unknown_since, requested_at, calls
) on outbox to pillivery_worker;
grant update (sealed_sid, partner_user_id, cid, tid, state, updated_at, ended_at)
  on billing_keys to pillivery_worker;
grant update (position, updated_at) on reaction_checkpoint to pillivery_worker;
grant update (ours, theirs, found_at, changed_at, settled_at) on payment_difference to pillivery_worker;
grant update (error, attempts, retry_asked) on parked_reaction to pillivery_worker;
grant update (expires_at, not_before) on order_expiry to pillivery_worker;
grant update (state, since, not_before, position, answers, answered_at)
  on payment_index to pillivery_worker;
grant update (state, code, since, not_before, position) on refund_index to pillivery_worker;
grant update (open_until, told_at) on gateway_breaker to pillivery_worker;

-- Recurring keys whose subscriptions have ended, and orders that expired a moment ago.
set local lock_timeout = '5s';

-- 'ending': the last subscription of the key has ended, and the key is to be deactivated.
alter table billing_keys
  drop constraint billing_keys_state_check,
  drop constraint billing_keys_check,
  -- When the last of its subscriptions ended; null while one goes on.
  add column ended_at timestamptz,
  add constraint billing_keys_state_check
    check (state in ('active', 'missing', 'ending', 'inactive')),
  add constraint billing_keys_secret_check
    check (state not in ('active', 'ending')
           or (sealed_sid is not null and partner_user_id is not null)),
  add constraint billing_keys_ended_check check (state <> 'ending' or ended_at is not null);
create index billing_keys_ending on billing_keys (ended_at) where state = 'ending';

-- A key may arrive after its subscriptions have ended, kept by a worker of any release. It must not
-- look as if it were in use, so the rule stands where every writer passes.
create function mark_ended_billing_key() returns trigger
language plpgsql
as $$
begin
  new.state := 'ending';
  return new;
end
$$;
create trigger billing_keys_arrive_ended
  before insert or update on billing_keys
  for each row when (new.state = 'active' and new.ended_at is not null)
  execute function mark_ended_billing_key();

-- Where an order stands at an instant, of what order_history says: it has expired from expires_at on,
-- also before that is recorded, but not while its money may be moving.
create function order_status_at(
  p_status text, p_expires_at timestamptz, p_payments text, p_at timestamptz
) returns text
language sql immutable parallel safe
as $$
  select case
    when p_at < p_expires_at then p_status
    when p_status in ('PLACED', 'DECLINED') then 'EXPIRED'
    when p_status = 'AWAITING_PAYMENT'
         and not p_payments::jsonb @> '[{"status": "APPROVING"}]' then 'EXPIRED'
    else p_status
  end
$$;

-- expires_at of order_history follows the payment pages (shape 2). A history without rows is of either
-- shape; one with rows is rebuilt by `projector rebuild order_history`.
update projection set shape = 2, changed_at = clock_timestamp()
where  name = 'order_history' and shape = 1 and not exists (select from order_history);

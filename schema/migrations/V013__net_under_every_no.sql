-- What ended without money is looked up again: attempts that the gateway was asked to approve, and
-- refunds that are pending or were refused.
set local lock_timeout = '5s';

-- An attempt that ended although an approval was ever asked for stays here as 'ended' until two
-- look-ups were answered "no money". A worker of the release before removes it at its end, as it
-- always did: stop those workers before relying on the net.
alter table payment_index
  drop constraint payment_index_state_check,
  add constraint payment_index_state_check
    check (state in ('approving', 'unresolved', 'approved', 'ended')),
  -- Where in the log the event lies that made the row what it is: an older one changes nothing.
  add column position    bigint not null default 0,
  -- Of an ended one: how many look-ups were answered "no money", and when the last one was.
  add column answers     int    not null default 0 check (0 <= answers),
  add column answered_at timestamptz;
create index payment_index_ended on payment_index (not_before) where state = 'ended';

-- Refunds that are pending or were refused, folded from the log by the reaction `refund_index`. One
-- that succeeded leaves the table.
create table refund_index (
  refund_id    uuid        primary key,
  order_id     uuid        not null,
  attempt      int         not null check (0 < attempt),
  -- In won.
  amount       bigint      not null check (0 < amount),
  state        text        not null check (state in ('pending', 'refused')),
  -- Whether it refunds a payment that came too late: nothing else returns that money.
  is_automatic boolean     not null,
  -- The gateway's code, of a refused one.
  code         text,
  requested_at timestamptz not null,
  -- The Korean day on which the shopper has to have the money.
  due_on       date        not null,
  -- Since when it stands so.
  since        timestamptz not null,
  -- When to look it up next; null: it is not looked up any more.
  not_before   timestamptz,
  -- Where in the log the event lies that asked for it, and the one that made the row what it is.
  asked_position bigint    not null,
  position     bigint      not null
);
create index refund_index_due on refund_index (not_before) where not_before is not null;
create index refund_index_by_payment on refund_index (order_id, attempt);
create index refund_index_by_day on refund_index (due_on, requested_at, refund_id);

-- Keys that were lost with their answer, for operators.
create index billing_keys_missing on billing_keys (created_at) where state = 'missing';

grant select, insert, update, delete on refund_index to pillivery_service;

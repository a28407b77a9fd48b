-- Differences from the gateway's books become events, and the outbox keeps who intervened.
set local lock_timeout = '5s';

-- In what the gateway's books differ from ours. Derived: the reaction `payment_differences` folds it
-- from PaymentDifferenceFound and PaymentDifferenceSettled, and it may be emptied and folded again.
-- Takes the place of reconciliation_difference, which nothing writes any more; a later migration
-- drops that, once no worker of the version before runs. What stands open there is found again,
-- and then recorded, by comparing its days anew.
create table payment_difference (
  order_id      uuid        not null,
  attempt       int         not null,
  kind          text        not null,
  ours          text        not null,
  theirs        text        not null,
  -- Since when it is open.
  found_at      timestamptz not null,
  -- When a side last said something else.
  changed_at    timestamptz not null,
  -- Gone; the row is kept.
  settled_at    timestamptz,
  primary key (order_id, attempt, kind)
);
create index payment_difference_open on payment_difference (found_at) where settled_at is null;

-- What people did about rows of the outbox. Only ever added to, and kept longer than the rows: so
-- there is no foreign key.
create table outbox_intervention (
  id            bigint      generated always as identity primary key,
  outbox_id     uuid        not null,
  action        text        not null check (action in ('retry', 'resolve', 'hold', 'release')),
  state_before  text        not null,
  -- As in the metadata of events: {"admin": …} or {"system": …}.
  actor         jsonb       not null,
  request_id    text        not null,
  intervened_at timestamptz not null default clock_timestamp()
);
create index outbox_intervention_by_row on outbox_intervention (outbox_id, id);

grant select, insert, update on payment_difference to pillivery_service;
grant select, insert on outbox_intervention to pillivery_service;

-- What reconciliation keeps beside the log: which payments to ask the gateway about, and in what its
-- books differ from ours.
set local lock_timeout = '5s';

-- Payments whose money moved or may have, folded from the log by a reaction. Amounts are not in
-- here: they are read from the order itself at the moment of comparing.
create table payment_index (
  order_id      uuid        not null,
  attempt       int         not null check (0 < attempt),
  state         text        not null check (state in ('approving', 'unresolved', 'approved')),
  -- Since when it stands so; of an approved one, when the gateway booked it.
  since         timestamptz not null,
  -- Of one that is not approved: when to look it up next.
  not_before    timestamptz not null,
  primary key (order_id, attempt)
);
create index payment_index_pending on payment_index (not_before) where state <> 'approved';
create index payment_index_approved on payment_index (since, order_id, attempt)
  where state = 'approved';

-- In what the gateway's books differed from ours. One row per payment and kind: found again, it is
-- counted; gone, it is settled and kept.
create table reconciliation_difference (
  order_id      uuid        not null,
  attempt       int         not null,
  kind          text        not null,
  ours          text        not null,
  theirs        text        not null,
  found_at      timestamptz not null,
  last_found_at timestamptz not null,
  times         int         not null default 1,
  settled_at    timestamptz,
  primary key (order_id, attempt, kind)
);
create index reconciliation_difference_open on reconciliation_difference (found_at)
  where settled_at is null;

grant select, insert, update, delete on payment_index to pillivery_service;
grant select, insert, update on reconciliation_difference to pillivery_service;

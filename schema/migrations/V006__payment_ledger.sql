-- The read model payment_ledger: version 1 of its tables, its view and its bookkeeping. The tables
-- are the template under projections/src/models/payment_ledger with 1 for {v}; a test compares them.
set local lock_timeout = '5s';

-- One row per booking and account. The amounts of one booking sum to zero.
create table payment_ledger_v1 (
  -- approval/ORDER/ATTEMPT or refund/REFUND.
  booking    text        not null,
  -- gateway_receivable: what the gateway owes us. sales, refunds: where that came from and went to.
  account    text        not null,
  order_id   uuid        not null,
  attempt    integer     not null,
  -- In won; above zero is debit, below zero is credit.
  amount     bigint      not null,
  -- When the gateway booked it.
  booked_at  timestamptz not null,
  -- The position of the event that it was booked for.
  position   bigint      not null,
  primary key (booking, account)
);
create index payment_ledger_by_order_v1 on payment_ledger_v1 (order_id, booking, account);
create index payment_ledger_by_time_v1 on payment_ledger_v1 (booked_at, booking, account);

-- What the fold remembers of an order. Not for queries.
create table payment_ledger_order_v1 (
  order_id uuid not null primary key,
  facts    text not null
);

create view payment_ledger as select * from payment_ledger_v1;

insert into projection (name, version, shape, state) values ('payment_ledger', 1, 1, 'live');
insert into projection_shard (name, version) values ('payment_ledger', 1);

grant select, insert, update, delete on payment_ledger_v1, payment_ledger_order_v1
  to pillivery_service;
grant select on payment_ledger to pillivery_service;

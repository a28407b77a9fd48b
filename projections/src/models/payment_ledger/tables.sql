-- tables.sql: the tables of version {v}. What the columns mean stands in the migration that made
-- version 1; a test compares the two.
create table payment_ledger_v{v} (
  booking    text        not null,
  account    text        not null,
  order_id   uuid        not null,
  attempt    integer     not null,
  amount     bigint      not null,
  booked_at  timestamptz not null,
  position   bigint      not null,
  primary key (booking, account)
);
create table payment_ledger_order_v{v} (
  order_id uuid not null primary key,
  facts    text not null
);

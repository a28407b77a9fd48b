-- tables.sql: the tables of version {v}. What the columns mean stands in the migration that made
-- version 1; a test compares the two.
create table order_history_v{v} (
  order_id   uuid        not null primary key,
  number     text        not null,
  user_id    uuid        not null,
  kind       text        not null,
  status     text        not null,
  title      text        not null,
  line_count integer     not null,
  placed_at  timestamptz not null,
  expires_at timestamptz not null,
  total      bigint      not null,
  tax_free   bigint      not null,
  vat        bigint      not null,
  paid       bigint      not null,
  refunded   bigint      not null,
  lines      text        not null,
  payments   text        not null,
  refunds    text        not null,
  receiver   text        not null,
  facts      text        not null,
  version    bigint      not null,
  position   bigint      not null
);

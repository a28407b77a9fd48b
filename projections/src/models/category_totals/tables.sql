-- tables.sql: the tables of version {v}. What the columns mean stands in the migration that made
-- version 1; a test compares the two.
create table category_totals_v{v} (
  category         text   not null primary key,
  item_count       bigint not null,
  discounted_count bigint not null
);
create table category_totals_item_v{v} (
  item_id uuid not null primary key,
  facts   text not null
);

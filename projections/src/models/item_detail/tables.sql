-- tables.sql: the tables of version {v}. What the columns mean stands in the migration that made
-- version 1; a test compares the two.
create table item_detail_v{v} (
  item_id             uuid    not null primary key,
  report_no           text    not null,
  name                text    not null,
  enterprise          text,
  thumbnail_url       text,
  origin_price        bigint  not null,
  discount_rate       bigint  not null,
  price               bigint  not null,
  on_sale             boolean not null,
  categories          text[]  not null,
  listed_position     bigint  not null,
  facts               text    not null,
  document            text    not null,
  version             bigint  not null,
  position            bigint  not null
);

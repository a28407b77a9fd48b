-- tables.sql: the tables of version {v}. What the columns mean stands in the migration that made
-- version 1; a test compares the two.
create table cart_view_v{v} (
  cart_id    uuid    not null primary key,
  user_id    uuid    not null,
  kind       text    not null,
  line_count integer not null,
  lines      text    not null,
  version    bigint  not null,
  position   bigint  not null
);

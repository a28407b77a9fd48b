-- tables.sql: the tables of version {v}. What the columns mean stands in the migration that made
-- version 1; a test compares the two.
create table item_by_category_v{v} (
  category        text    not null,
  item_id         uuid    not null,
  enterprise      text,
  price           bigint  not null,
  discount_rate   bigint  not null,
  sales           bigint  not null,
  review_count    bigint  not null,
  rating          bigint  not null,
  listed_position bigint  not null,
  card            text    not null,
  views           bigint  not null default 0,
  primary key (category, item_id)
);
create table item_search_v{v} (
  item_id     uuid   not null primary key,
  search_text text   not null,
  grams       text[] not null
);
create table item_by_category_item_v{v} (
  item_id uuid not null primary key,
  facts   text not null
);
create table item_by_category_order_v{v} (
  order_id uuid not null primary key,
  facts    text not null
);

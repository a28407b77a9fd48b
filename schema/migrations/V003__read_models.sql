-- The read models: their bookkeeping, and version 1 of every model's tables with the views that
-- queries go through. Everything here can be rebuilt from the log, except item_views_daily.
--
-- A query names the view (item_by_category), never a version (item_by_category_v1): `projector
-- rebuild` makes the next version beside it and one short transaction replaces the views.
-- The tables of version 1 are the templates under projections/src/*/ with 1 for {v}; a test there
-- compares the two. JSON columns are text: they are sent as they are, byte for byte.
set local lock_timeout = '5s';

-- One row per version of a projection. `shape` is the form of tables and fold it was made by: a
-- projector leaves versions of another shape alone.
create table projection (
  name       text        not null,
  version    integer     not null check (0 < version),
  shape      integer     not null check (0 < shape),
  -- building: being filled, nobody follows it. ready: complete and followed, not served.
  -- live: complete, followed and behind the views. retired: its tables are gone.
  state      text        not null check (state in ('building', 'ready', 'live', 'retired')),
  created_at timestamptz not null default clock_timestamp(),
  changed_at timestamptz not null default clock_timestamp(),
  primary key (name, version)
);
create unique index projection_live on projection (name) where state = 'live';

-- How far a shard of a version is, and who may move it: the worker that holds the epoch.
create table projection_shard (
  name        text        not null,
  version     integer     not null,
  shard       integer     not null default 0,
  position    bigint      not null default 0 check (0 <= position),
  epoch       bigint      not null default 0,
  lease_owner text,
  lease_until timestamptz,
  last_error  text,
  moved_at    timestamptz not null default clock_timestamp(),
  primary key (name, version, shard),
  foreign key (name, version) references projection (name, version)
);

-- Events that a projection could not take, and every later event of the same aggregate. Retried or
-- dropped by an operator, never skipped in silence.
create table parked_event (
  name           text        not null,
  version        integer     not null,
  position       bigint      not null,
  aggregate_type text        not null,
  aggregate_id   text        not null,
  sequence       bigint      not null,
  event_type     text        not null,
  -- Why: the error for the first of its aggregate, null for those that wait behind it.
  error          text,
  parked_at      timestamptz not null default clock_timestamp(),
  primary key (name, version, position),
  foreign key (name, version) references projection (name, version)
);
create index parked_event_by_aggregate
  on parked_event (name, version, aggregate_type, aggregate_id, position);

-- Up to which position the served version of each projection shows the log. Read-your-writes
-- compares with it; 'order_history', 'cart_view', 'item_by_category', 'item_detail',
-- 'category_totals' are the names.
create view projection_position as
  select projection.name, min(projection_shard.position) as position
  from   projection
  join   projection_shard using (name, version)
  where  projection.state = 'live'
  group  by projection.name;

-- Unique visitors of an item on a Korean date; not from events, so beside the log. Whoever counts
-- views upserts here and then sets item_by_category.views to the item's sum.
create table item_views_daily (
  item_id   uuid   not null,
  viewed_on date   not null,
  visitors  bigint not null check (0 <= visitors),
  primary key (item_id, viewed_on)
);

-- item_by_category: one row per (category, item) of the items in the shop window, and one more
-- under the category 'ALL'. A withdrawn item has no row.
create table item_by_category_v1 (
  category        text    not null,
  item_id         uuid    not null,
  enterprise      text,
  price           bigint  not null,
  -- Tenths of a percent; above 0 is what `onSale=true` asks for.
  discount_rate   bigint  not null,
  -- Pieces in paid orders, without those refunded in full.
  sales           bigint  not null,
  review_count    bigint  not null,
  -- Hundredths of a star, 0 without reviews.
  rating          bigint  not null,
  -- The position of its registration: NEWEST sorts by it, descending.
  listed_position bigint  not null,
  -- JSON object, ready to send: itemId, name, enterprise, thumbnailUrl, originPrice, discountRate
  -- (percent), price, categories, sales, reviewCount, rating (stars), registeredOn.
  card            text    not null,
  -- Sum of item_views_daily. No event sets it; see there.
  views           bigint  not null default 0,
  primary key (category, item_id)
);
-- Every sort ends in item_id in the same direction, so that each index serves both directions.
create index item_by_category_price_v1 on item_by_category_v1 (category, price, item_id);
create index item_by_category_discount_v1 on item_by_category_v1 (category, discount_rate, item_id);
create index item_by_category_sales_v1 on item_by_category_v1 (category, sales, item_id);
create index item_by_category_reviews_v1 on item_by_category_v1 (category, review_count, item_id);
create index item_by_category_rating_v1 on item_by_category_v1 (category, rating, item_id);
create index item_by_category_newest_v1 on item_by_category_v1 (category, listed_position, item_id);
create index item_by_category_views_v1 on item_by_category_v1 (category, views, item_id);
create index item_by_category_brand_v1 on item_by_category_v1 (category, enterprise, item_id);
create index item_by_category_item_v1_id on item_by_category_v1 (item_id);

-- Search over the items in the shop window. search_text: name, enterprise and main function, lower
-- case, one line feed between them. grams: every single character and every pair of neighbours in
-- it, without those that contain a blank. A term matches when `grams @> its grams` (the index) and
-- `0 < strpos(search_text, term)` (the truth).
create table item_search_v1 (
  item_id     uuid   not null primary key,
  search_text text   not null,
  grams       text[] not null
);
create index item_search_grams_v1 on item_search_v1 using gin (grams);

-- What the fold of item_by_category remembers of an item and of an order. Not for queries.
create table item_by_category_item_v1 (
  item_id uuid not null primary key,
  facts   text not null
);
create table item_by_category_order_v1 (
  order_id uuid not null primary key,
  facts    text not null
);

-- item_detail: every item ever registered, withdrawn ones included.
create table item_detail_v1 (
  item_id             uuid    not null primary key,
  report_no           text    not null,
  name                text    not null,
  enterprise          text,
  thumbnail_url       text,
  origin_price        bigint  not null,
  -- Tenths of a percent.
  discount_rate       bigint  not null,
  -- The price of today: what a cart line's snapshot is compared with.
  price               bigint  not null,
  -- Whether it can be bought, that is, was not withdrawn.
  on_sale             boolean not null,
  categories          text[]  not null,
  listed_position     bigint  not null,
  -- What the fold remembers. Not for queries.
  facts               text    not null,
  -- JSON object, ready to send: itemId, reportNo, name, enterprise, registeredOn, expiration,
  -- appearance, servingUse, storage, intakeHint, mainFunction, baseStandard, thumbnailUrl,
  -- descriptionImageUrl, originPrice, discountRate (percent), price, onSale, categories.
  document            text    not null,
  -- The item's stream version, and the position of the event that made it.
  version             bigint  not null,
  position            bigint  not null
);

-- category_totals: how many items the shop window has, per category and under 'ALL'. A category
-- that never had an item has no row.
create table category_totals_v1 (
  category         text   not null primary key,
  item_count       bigint not null,
  -- Of these, with a discount (`onSale=true`).
  discounted_count bigint not null
);
-- What the fold of category_totals remembers of an item. Not for queries.
create table category_totals_item_v1 (
  item_id uuid not null primary key,
  facts   text not null
);

-- cart_view: one row per cart that was ever used. A cart without a row is empty, version 0.
create table cart_view_v1 (
  cart_id    uuid    not null primary key,
  user_id    uuid    not null,
  -- one_off | subscription
  kind       text    not null,
  line_count integer not null,
  -- JSON array in the order of adding: itemId, itemName, quantity, periodDays (only in the
  -- subscription cart), unitPrice (the snapshot). Today's price: join item_detail by item_id.
  lines      text    not null,
  -- The cart's stream version (its ETag), and the position of the event that made it.
  version    bigint  not null,
  position   bigint  not null
);
create unique index cart_view_owner_v1 on cart_view_v1 (user_id, kind);

-- order_history: one row per order.
create table order_history_v1 (
  order_id   uuid        not null primary key,
  number     text        not null,
  user_id    uuid        not null,
  -- one_off | subscription
  kind       text        not null,
  -- PLACED AWAITING_PAYMENT PAID DECLINED EXPIRED CANCELLED PARTLY_REFUNDED REFUNDED UNRESOLVED
  status     text        not null,
  -- For a list: the first line's name, with " 외 N건" when there are N more.
  title      text        not null,
  line_count integer     not null,
  placed_at  timestamptz not null,
  expires_at timestamptz not null,
  total      bigint      not null,
  tax_free   bigint      not null,
  vat        bigint      not null,
  -- Approved, and given back of it, in won.
  paid       bigint      not null,
  refunded   bigint      not null,
  -- JSON array: lineNo, itemId, itemName, originPrice, discountRate (percent), unitPrice, quantity,
  -- periodDays (only in subscription orders), lineTotal.
  lines      text        not null,
  -- JSON array, oldest first: attempt, status (REQUESTED READY APPROVING APPROVED DECLINED
  -- UNRESOLVED ABANDONED), amount, requestedAt, and where known: redirect {pc, mobile, app} and
  -- expiresAt (while READY), method (CARD MONEY OTHER) and approvedAt (once APPROVED), reason (what
  -- sort of no it was, or why it ended). Times in +09:00.
  payments   text        not null,
  -- JSON array, oldest first: id, status (REQUESTED SUCCEEDED FAILED), amount, requestedAt,
  -- refundedAt (once SUCCEEDED). Times in +09:00.
  refunds    text        not null,
  -- JSON of contracts::Sealed<Receiver>, bound to contracts::seals::order_stream(order_id) and
  -- contracts::seals::RECEIVER.
  receiver   text        not null,
  -- What the fold remembers. Not for queries.
  facts      text        not null,
  -- The order's stream version (its ETag), and the position of the event that made it.
  version    bigint      not null,
  position   bigint      not null
);
create index order_history_by_user_v1 on order_history_v1 (user_id, placed_at, order_id);
create index order_history_by_status_v1 on order_history_v1 (user_id, status, placed_at, order_id);
create index order_history_by_number_v1 on order_history_v1 (number);

create view item_by_category as select * from item_by_category_v1;
create view item_search as select * from item_search_v1;
create view item_detail as select * from item_detail_v1;
create view category_totals as select * from category_totals_v1;
create view cart_view as select * from cart_view_v1;
create view order_history as select * from order_history_v1;

insert into projection (name, version, shape, state) values
  ('item_by_category', 1, 1, 'live'),
  ('item_detail',      1, 1, 'live'),
  ('category_totals',  1, 1, 'live'),
  ('cart_view',        1, 1, 'live'),
  ('order_history',    1, 1, 'live');
insert into projection_shard (name, version) select name, version from projection;

-- Services follow and read. Only the owner of the schema makes, switches and drops versions.
grant select on projection to pillivery_service;
grant select, update on projection_shard to pillivery_service;
grant select, insert, update, delete on
  parked_event, item_views_daily,
  item_by_category_v1, item_search_v1, item_by_category_item_v1, item_by_category_order_v1,
  item_detail_v1, category_totals_v1, category_totals_item_v1, cart_view_v1, order_history_v1
to pillivery_service;
grant select on
  projection_position, item_search, item_detail, category_totals, cart_view, order_history
to pillivery_service;
grant select, update on item_by_category to pillivery_service;

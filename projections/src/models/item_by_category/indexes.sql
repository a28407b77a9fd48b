-- indexes.sql: made when the tables of version {v} are full, which is faster than filling them after.
create index item_by_category_price_v{v} on item_by_category_v{v} (category, price, item_id);
create index item_by_category_discount_v{v} on item_by_category_v{v} (category, discount_rate, item_id);
create index item_by_category_sales_v{v} on item_by_category_v{v} (category, sales, item_id);
create index item_by_category_reviews_v{v} on item_by_category_v{v} (category, review_count, item_id);
create index item_by_category_rating_v{v} on item_by_category_v{v} (category, rating, item_id);
create index item_by_category_newest_v{v} on item_by_category_v{v} (category, listed_position, item_id);
create index item_by_category_views_v{v} on item_by_category_v{v} (category, views, item_id);
create index item_by_category_brand_v{v} on item_by_category_v{v} (category, enterprise, item_id);
create index item_by_category_item_v{v}_id on item_by_category_v{v} (item_id);
create index item_search_grams_v{v} on item_search_v{v} using gin (grams);

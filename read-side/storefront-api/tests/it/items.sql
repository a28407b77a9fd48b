-- items.sql: {count} items with many ties in every sort key, each under ALL and under one category.
-- The test's cards also show what is sorted by, so that orders can be checked from outside.
with item as (
  select n,
         md5(n::text)::uuid                                     as item_id,
         '상품 ' || n                                           as name,
         'enterprise ' || n % 13                                as enterprise,
         1000 * (1 + n * 7919 % 97)                             as origin_price,
         case when n % 3 = 0 then 0 else 100 + n * 37 % 40 end  as discount_rate,
         n % 7                                                  as sales,
         n % 5                                                  as review_count,
         n % 4 * 100                                            as rating,
         n % 11                                                 as views,
         (array['EYE','BONE','BRAIN','INTESTINE','LIVER'])[1 + n % 5] as category
  from   generate_series(1, {count}) n
)
insert into item_by_category_v1 (
  category, item_id, enterprise, price, discount_rate, sales, review_count, rating, listed_position,
  card, views
)
select place, item_id, enterprise, price, discount_rate, sales, review_count, rating, n / 2,
       json_build_object('itemId', item_id, 'name', name, 'category', category, 'price', price,
         'discountRate', discount_rate, 'sales', sales, 'reviewCount', review_count,
         'rating', rating, 'listed', n / 2, 'views', views, 'enterprise', enterprise)::text,
       views
from   item
cross  join lateral (select origin_price - origin_price * discount_rate / 1000) as priced (price)
cross  join lateral unnest(array['ALL', category]) as place;

insert into category_totals_v1 (category, item_count, discounted_count)
select category, count(*), count(*) filter (where 0 < discount_rate)
from   item_by_category_v1
group  by category;

analyze item_by_category_v1, category_totals_v1;

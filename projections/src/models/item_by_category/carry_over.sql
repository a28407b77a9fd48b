-- carry_over.sql: views come from no event, so a rebuilt version takes their sums over.
update item_by_category_v{v} as listed
set    views = counted.views
from   (select item_id, sum(visitors)::bigint as views from item_views_daily group by item_id) as counted
where  counted.item_id = listed.item_id and counted.views <> listed.views;

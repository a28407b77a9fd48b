-- offers.sql: today's prices of the items in a cart, withdrawn ones included.
select item_id, origin_price, price, on_sale, thumbnail_url
from   item_detail
where  item_id = any ($1)

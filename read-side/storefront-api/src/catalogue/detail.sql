-- detail.sql: the product page, ready to send.
select body
from   item_detail
where  item_id = $1

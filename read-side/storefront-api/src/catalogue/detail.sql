-- detail.sql: the product page, ready to send.
select document
from   item_detail
where  item_id = $1

-- count.sql: how many items a freely filtered list has; every other total is kept by the projector.
select count(*)
from   item_by_category
where  category = $1{filters}

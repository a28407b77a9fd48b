-- totals.sql: items of each category, `ALL` included, and how many of them have a discount.
select category, item_count, discounted_count
from   category_totals

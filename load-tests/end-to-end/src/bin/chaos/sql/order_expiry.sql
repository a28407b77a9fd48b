-- Which orders may still expire.
select e.order_id
from   order_expiry e

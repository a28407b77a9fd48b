-- Which payments moved money or may have.
select p.order_id, p.attempt, p.state
from   payment_index p

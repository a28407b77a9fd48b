-- order_count.sql: how many orders a user has, of one status or ($2 null) of any. Counts one user's
-- range of an index: a user has tens of orders, not thousands.
select count(*)
from   order_history
where  user_id = $1 
  and  ($2::text is null or order_status_at(status, expires_at, payments, $3) = $2)

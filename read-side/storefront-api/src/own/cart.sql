-- cart.sql: one cart of one user; none that was never touched.
select lines, version
from   cart_view
where  user_id = $1 and kind = $2

-- Orders to expire, longest overdue first.
select order_id from order_expiry where not_before <= $1 order by not_before limit $2

-- Nothing changed (a payment is under way): the order is asked again later.
update order_expiry set not_before = $2 where order_id = $1

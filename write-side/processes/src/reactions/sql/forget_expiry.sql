-- Paid, expired or cancelled: nothing is left to expire.
delete from order_expiry where order_id = any ($1::uuid[])

-- How many differences are still open.
select count(*) as open from payment_difference d where d.settled_at is null

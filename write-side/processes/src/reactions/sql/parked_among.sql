-- Which of these streams have an event set aside: order is worth more than speed, so what comes
-- after it is set aside too.
select distinct aggregate_id from parked_reaction where name = $1 and aggregate_id = any ($2::text[])

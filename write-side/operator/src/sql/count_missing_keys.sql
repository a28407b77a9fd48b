-- How many recurring keys are missing, by age. By the database's clock, which wrote the rows.
select count(*) filter (where now() - interval '1 day' < k.created_at) as under_a_day,
       count(*) filter (where k.created_at <= now() - interval '1 day'
                          and now() - interval '7 days' < k.created_at) as under_a_week,
       count(*) filter (where k.created_at <= now() - interval '7 days') as older
from   billing_keys k
where  k.state = 'missing'

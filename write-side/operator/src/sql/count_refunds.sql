-- How many refunds are open. The table holds no others.
select count(*) filter (where r.state = 'pending' and r.requested_at <= $1) as overdue,
       count(*) filter (where r.state = 'refused') as refused,
       count(*) filter (where r.due_on <= $2) as due_soon
from   refund_index r

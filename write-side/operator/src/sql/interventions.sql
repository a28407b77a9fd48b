-- What people did about a row, oldest first.
select i.action, i.state_before, i.actor, i.request_id, i.intervened_at
from   outbox_intervention i
where  i.outbox_id = $1
order  by i.id

-- The events of one append, if it is there: asked after the answer to its commit was lost.
select e.position
from   events e
where  e.aggregate_type = $1 and e.aggregate_id = $2
  and  $3 < e.sequence and e.sequence <= $4
  and  e.command_id = $5
order  by e.sequence

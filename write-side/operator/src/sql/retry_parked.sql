-- The reaction handles it once more, and then what was parked behind it in its stream, oldest first; a
-- moment later each row is gone or has counted another attempt.
update parked_reaction p
set    retry_asked = true
from   parked_reaction asked
where  asked.name = $1 and asked.position = $2
  and  p.name = asked.name and p.aggregate_id = asked.aggregate_id and asked.position <= p.position

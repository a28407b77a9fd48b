-- Who holds a unique name.
select c.aggregate_id
from   unique_claims c
where  c.kind = $1 and c.name = $2

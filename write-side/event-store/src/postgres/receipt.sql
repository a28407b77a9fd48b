-- A receipt, with the positions of the events it stands for.
select r.request_digest, r.command_id, r.first_version, r.last_version, r.result,
       array(
         select e.position
         from   events e
         where  e.aggregate_type = r.aggregate_type and e.aggregate_id = r.aggregate_id
           and  r.first_version < e.sequence and e.sequence <= r.last_version
         order  by e.sequence) as positions
from   command_receipts r
where  r.scope = $1 and r.key = $2

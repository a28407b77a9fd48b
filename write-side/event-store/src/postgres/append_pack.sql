-- Several commands, one transaction, one round trip: each is written whole or left out.
select a.command_ids, a.positions
from   append_pack_after(
         $1, $2, $3, $4, $5, $6,
         $7, $8, $9, $10, $11,
         $12, $13, $14, $15, $16, $17, $18,
         $19, $20, $21, $22, $23, $24) a

-- One command, one transaction, one round trip: the order of the steps stands in the function.
select a.positions, a.replayed_by, a.replayed_first, a.replayed_last, a.replayed_result
from   append_events_after(
         $1, $2, $3, $4, $5, $6, $7, $8, $9,
         $10, $11, $12, $13, $14, $15,
         $16, $17, $18,
         $19, $20, $21, $22, $23) a

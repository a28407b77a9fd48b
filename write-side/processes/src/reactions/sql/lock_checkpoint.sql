-- How far a reaction has come, held until the end of the transaction.
select position from reaction_checkpoint where name = $1 for update

-- How far a reaction has come.
select position from reaction_checkpoint where name = $1

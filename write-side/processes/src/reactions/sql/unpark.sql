-- Handled after all.
delete from parked_reaction where name = $1 and position = $2

-- A reaction that has never run begins at the beginning.
insert into reaction_checkpoint (name) values ($1) on conflict (name) do nothing

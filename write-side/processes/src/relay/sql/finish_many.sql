-- Carried out and told: the rows leave the outbox. Returns those whose claim still stood.
select outbox_reported($2, $1, $3)

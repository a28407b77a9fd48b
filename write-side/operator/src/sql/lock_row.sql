-- How a row stands; nobody changes it until the intervention is over.
select o.state from outbox o where o.id = $1 for update

-- How a row stands; nothing else changes it until the intervention is over.
select o.state, o.outcome ->> 'settled' as settled from outbox o where o.id = $1 for update

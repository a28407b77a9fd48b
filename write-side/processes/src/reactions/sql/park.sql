-- Sets an event aside; failing once more only counts, until an operator asks again.
insert into parked_reaction (name, position, aggregate_type, aggregate_id, event_type, error)
values ($1, $2, $3, $4, $5, $6)
on conflict (name, position) do update
set    attempts = parked_reaction.attempts + 1, error = excluded.error, retry_asked = false

-- What came of it, before the aggregate is told: after a crash it is told again, and nobody is called.
-- Returns the rows whose claim still stood.
select outbox_outcome_known($2, $1, $3, $4)

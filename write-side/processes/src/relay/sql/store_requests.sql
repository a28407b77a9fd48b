-- What is about to be sent, before it is sent. Renews leases, so that a worker whose row was taken
-- over finds out here and calls nobody. Returns the rows whose claim still stood.
select outbox_request_sent($2, $1, $3, $4, $5)

-- Nothing more is done by itself: the row waits for an operator and holds back its stream.
update outbox
set    state = 'dead', last_error = $4, lease_owner = null, lease_until = null,
       updated_at = clock_timestamp()
where  id = $1 and lease_owner = $2 and claim = $3 and lease_until is not null

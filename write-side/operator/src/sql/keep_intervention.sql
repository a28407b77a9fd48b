-- Who did what to a row; in the transaction that does it.
insert into outbox_intervention (outbox_id, action, state_before, actor, request_id)
values ($1, $2, $3, $4, $5)

-- A row that left the outbox: nothing can be done about it any more.
select d.state from outbox_done d where d.id = $1

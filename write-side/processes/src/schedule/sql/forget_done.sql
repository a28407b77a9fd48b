-- A batch of outbox rows that were carried out long ago.
delete from outbox_done
where  id in (select id from outbox_done where updated_at < $1 order by updated_at limit $2)

-- A batch of outbox rows that were carried out more than 30 days ago, by the clock that wrote them: a
-- worker's may be wrong.
delete from outbox_done
where  id in (select id from outbox_done
              where  updated_at < clock_timestamp() - interval '30 days'
              order  by updated_at
              limit  $1)

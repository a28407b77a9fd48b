-- has_items.sql: whether any item was ever registered; the log is asked, not a read model.
select exists (select from events e where e.aggregate_type = 'item') as has_items

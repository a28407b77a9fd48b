-- indexes.sql: made when the tables of version {v} are full, which is faster than filling them after.
create index order_history_by_user_v{v} on order_history_v{v} (user_id, placed_at, order_id);
create index order_history_by_status_v{v} on order_history_v{v} (user_id, status, placed_at, order_id);
create index order_history_by_number_v{v} on order_history_v{v} (number);

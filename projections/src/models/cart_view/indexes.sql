-- indexes.sql: made when the tables of version {v} are full, which is faster than filling them after.
create unique index cart_view_owner_v{v} on cart_view_v{v} (user_id, kind);

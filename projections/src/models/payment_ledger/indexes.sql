-- indexes.sql: made when the tables of version {v} are full, which is faster than filling them after.
create index payment_ledger_by_order_v{v} on payment_ledger_v{v} (order_id, booking, account);
create index payment_ledger_by_time_v{v} on payment_ledger_v{v} (booked_at, booking, account);

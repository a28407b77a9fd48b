-- orders_for_plans.sql: 100,000 orders of 1,000 users, for tests of plans.
insert into order_history_v1 (
  order_id, number, user_id, kind, status, title, line_count, placed_at, expires_at, total, tax_free,
  vat, paid, refunded, lines, payments, refunds, receiver, facts, version, position
)
select md5(n::text)::uuid, 'n' || n, md5((n % 1000)::text)::uuid, 'one_off',
       (array['PAID','EXPIRED','PLACED'])[1 + n % 3], 'title', 1,
       timestamptz '2026-01-01' + n * interval '1 minute', timestamptz '2027-01-01', 1, 0, 0, 0, 0,
       repeat('x', 300), '[]', '[]', repeat('x', 300), '{}', 1, n
from   generate_series(1, 100000) n;

analyze order_history_v1;

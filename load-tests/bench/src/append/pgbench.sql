-- What the executor sends for one command, without the executor: a new stream, two events.
select positions
from   append_events_after(
         gen_random_uuid(), 'meter', gen_random_uuid()::text, 0, null,
         array['MeterItemAdded', 'MeterQuantityChanged'], array['1', '1'],
         array[
           '{"user_id":"00000010-0000-0000-0000-000000000000","item_id":"00000020-0000-0000-0000-000000000000","item_name":"Vitamin C 1000 mg, 90 tablets","quantity":1,"unit_price":12900}',
           '{"user_id":"00000010-0000-0000-0000-000000000000","item_id":"00000020-0000-0000-0000-000000000000","quantity":1}'
         ]::jsonb[],
         '{"actor":{"system":"bench"},"correlation_id":"01939f5e-0000-7000-8000-000000000000"}'::jsonb)

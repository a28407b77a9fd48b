-- The id of every stream is a UUID as the processes write it: 36 characters, lower case.
set local lock_timeout = '5s';

-- A reader that meets another id can't go on behind it, and nothing can be parked under it. No process
-- writes one; what is refused is an append by another hand, with a data error (22P02 or 23514).
-- `not valid`, because the log is not read for it: `validate constraint` once, where it may hold one.
-- Two casts, because a regular expression takes several times as long for each event.
alter table public.events add constraint events_stream_id_is_uuid
  check (aggregate_id::uuid::text = aggregate_id) not valid;

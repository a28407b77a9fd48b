-- A parked event that an operator gave up is remembered: its row stays, with the time, so that the
-- next replay leaves the event out as well and equals the live rows.
set local lock_timeout = '5s';

alter table parked_event add column given_up_at timestamptz;

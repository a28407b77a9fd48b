-- A rebuilt version is offered to `switch` after its checks, not before them.
set local lock_timeout = '5s';

-- checking: filled and followed, not served; what the log says of it is still being checked.
-- refused: a check found differences. Nothing follows it, and the next rebuild or retire drops it.
alter table read_model.projection drop constraint projection_state_check;
alter table read_model.projection add constraint projection_state_check
  check (state in ('building', 'checking', 'refused', 'ready', 'live', 'retired'));

-- When `switch` last put a version behind the views: `rollback` goes by it. For those that were served
-- before this migration and are not now it is unknown.
alter table read_model.projection add column served_at timestamptz;
update read_model.projection set served_at = changed_at where state = 'live';

-- How far the log is settled is published by a function that can't go back and can't go past the log.
set local lock_timeout = '5s';

-- Every reader takes what lies at or below `safe` for read. A position past the log, written once by
-- one process, would make all of them skip what is recorded up to there.
-- PV006: the position was never given out.
create function public.publish_safe_position(p_safe bigint) returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_newest bigint;
  v_safe   bigint;
begin
  select s.last_value into v_newest from public.event_position s;
  if v_newest < p_safe then
    raise exception 'position % is beyond the newest of the log, %', p_safe, v_newest
      using errcode = 'PV006';
  end if;
  update public.feed_position f
  set    safe = p_safe, updated_at = clock_timestamp()
  where  f.safe < p_safe
  returning f.safe into v_safe;
  -- Two publishers may meet here, and both are right: what stands afterwards is the greater one.
  if not found then
    select f.safe into v_safe from public.feed_position f;
  end if;
  return v_safe;
end
$$;
alter function public.publish_safe_position owner to pillivery_migrator;
revoke all on function public.publish_safe_position from public;
grant execute on function public.publish_safe_position
  to pillivery_writer, pillivery_worker, pillivery_projector;

-- Processes of the release before publish by a statement of their own, as pillivery_service, which
-- keeps its right to it (V001) until that role goes.
revoke update on feed_position from pillivery_writer, pillivery_worker, pillivery_projector;

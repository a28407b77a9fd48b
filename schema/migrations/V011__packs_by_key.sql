-- A pack looks at no receipt but its own, and what waited for a migration goes.
--
-- The join by which append_pack removed the receipts of commands that were left out was planned as a
-- scan of the table: 5 ms a pack with some thousand receipts, growing with their number.
set local lock_timeout = '5s';

-- Nothing uses these since V007 and V008.
drop function append_packed;
drop table reconciliation_difference;

-- Appends the events of several commands of one process in one transaction: one commit for all.
--
-- Each command is written whole or not at all, by its own version and its own receipt: one whose
-- stream has moved on, or whose key is taken, is left out, and its events are missing from the
-- answer. If another transaction writes one of the streams or takes one of the keys meanwhile, the
-- whole call may end with nothing written; the caller then sends each command by itself. At most one
-- command a stream, and none without events. Commands with unique names go through append_events,
-- where they may wait without company.
create or replace function append_pack(
  in  p_command_ids       uuid[],
  in  p_aggregate_types   text[],
  in  p_aggregate_ids     text[],
  in  p_expected_versions bigint[],
  in  p_metadata          jsonb[],
  -- Events, and to which command (from 1) and place within it (from 1) each belongs.
  in  p_event_commands    int[],
  in  p_event_offsets     int[],
  in  p_event_types       text[],
  in  p_event_versions    text[],
  in  p_payloads          jsonb[],
  -- Outbox rows, and to which command (from 1) each belongs; null when there are none.
  in  p_outbox_commands   int[]    default null,
  in  p_outbox_ids        uuid[]   default null,
  in  p_outbox_sequences  bigint[] default null,
  in  p_outbox_indexes    int[]    default null,
  in  p_outbox_kinds      text[]   default null,
  in  p_outbox_payloads   jsonb[]  default null,
  in  p_outbox_correlations text[] default null,
  -- Receipts, and to which command (from 1) each belongs; null when there are none.
  in  p_receipt_commands  int[]    default null,
  in  p_receipt_scopes    text[]   default null,
  in  p_receipt_keys      text[]   default null,
  in  p_request_digests   text[]   default null,
  in  p_receipt_keep_s    bigint[] default null,
  in  p_receipt_results   jsonb[]  default null,
  -- What was written: the command and the position of each event, by position.
  out command_ids         uuid[],
  out positions           bigint[]
)
language plpgsql volatile security definer
as $$
declare
  -- The commands (from 1) whose key is taken, now or since earlier.
  v_left_out int[] := '{}';
begin
  -- What another transaction is writing must not hold the other commands up.
  perform set_config('lock_timeout', '200ms', true);

  -- Before the bound is published, as in append_events: a wait behind it would hold readers back.
  if p_receipt_commands is not null then
    with receipts as (
      insert into public.command_receipts
        (scope, key, request_digest, command_id, aggregate_type, aggregate_id,
         first_version, last_version, result, expires_at)
      select r.scope, r.key, r.request_digest, p_command_ids[r.command], p_aggregate_types[r.command],
             p_aggregate_ids[r.command], p_expected_versions[r.command],
             p_expected_versions[r.command] + (
               select count(*) from unnest(p_event_commands) as e (command) where e.command = r.command),
             coalesce(r.result, 'null'), clock_timestamp() + make_interval(secs => r.keep_s)
      from   unnest(p_receipt_commands, p_receipt_scopes, p_receipt_keys, p_request_digests,
                    p_receipt_keep_s, p_receipt_results)
             as r (command, scope, key, request_digest, keep_s, result)
      -- One order for everybody, so that two packs that meet wait for each other in a line.
      order  by r.scope, r.key
      on conflict (scope, key) do nothing
      returning command_id
    )
    select coalesce(array_agg(c.command), '{}')
    into   v_left_out
    from   unnest(p_receipt_commands) as c (command)
    where  p_command_ids[c.command] not in (select r.command_id from receipts r);
  end if;

  -- As in append_events: published before the first position is drawn.
  perform pg_advisory_xact_lock_shared(public.event_append_class(), (s.last_value & 2147483647)::int)
  from    public.event_position s;

  with appended as (
    insert into public.events
      (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, command_id)
    select c.aggregate_type, c.aggregate_id, c.expected_version + n.place,
           n.event_type, n.event_version, n.payload, c.metadata, c.command_id
    from   (
             select x.*
             from   unnest(p_command_ids, p_aggregate_types, p_aggregate_ids, p_expected_versions, p_metadata)
                    with ordinality
                    as x (command_id, aggregate_type, aggregate_id, expected_version, metadata, ordinal)
             where  x.ordinal <> all (v_left_out)
               and  x.expected_version = coalesce((
                      select max(e.sequence)
                      from   public.events e
                      where  e.aggregate_type = x.aggregate_type and e.aggregate_id = x.aggregate_id), 0)
             offset 0
           ) c
    join   unnest(p_event_commands, p_event_offsets, p_event_types, p_event_versions, p_payloads)
           as n (command, place, event_type, event_version, payload)
           on n.command = c.ordinal
    -- One order for everybody, as above.
    order  by c.aggregate_type, c.aggregate_id, n.place
    returning command_id, position
  )
  select array_agg(a.command_id order by a.position), array_agg(a.position order by a.position)
  into   command_ids, positions
  from   appended a;

  -- A receipt without its command would answer a repetition that was never carried out. By key, one
  -- by one, and only where a command was left out: joined, they were looked for in all receipts.
  if p_receipt_commands is not null then
    for i in 1 .. cardinality(p_receipt_commands) loop
      if p_command_ids[p_receipt_commands[i]] <> all (coalesce(command_ids, '{}')) then
        delete from public.command_receipts r
        where  r.scope = p_receipt_scopes[i] and r.key = p_receipt_keys[i]
          and  r.command_id = p_command_ids[p_receipt_commands[i]];
      end if;
    end loop;
  end if;

  if p_outbox_ids is not null then
    insert into public.outbox
      (id, aggregate_type, aggregate_id, sequence, effect_index, kind, payload, correlation_id)
    select o.id, p_aggregate_types[o.command], p_aggregate_ids[o.command], o.sequence, o.effect_index,
           o.kind, o.payload, o.correlation_id
    from   unnest(p_outbox_commands, p_outbox_ids, p_outbox_sequences, p_outbox_indexes, p_outbox_kinds,
                  p_outbox_payloads, p_outbox_correlations)
           as o (command, id, sequence, effect_index, kind, payload, correlation_id)
    where  p_command_ids[o.command] = any (command_ids);
  end if;
end
$$;

-- An append proves the state that its command was decided on, and a repetition outlives its receipt.
--
-- A version is a number. After a failover to a copy that lacks the last events, or a restore to an
-- earlier moment, a stream may reach the version that a process remembers with other events. The
-- command of the event at that version tells the two histories apart: it is drawn once an append, and
-- each append proves its own predecessor, so an equal last event is an equal history.
set local lock_timeout = '5s';

-- What postgres-es reads, with the identity of each event in the place of its metadata, so that a
-- state that was loaded can be proven later. To be dropped and made again by a migration that changes
-- the type of a column.
create view events_with_identity as
select e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version, e.payload,
       jsonb_build_object('position', e.position, 'command_id', e.command_id) as metadata
from   events e;
grant select on events_with_identity to pillivery_service;

-- Appends the events of one command, and all that belongs to them, or nothing.
--
-- What may wait for another transaction and is not the log itself (receipt, names) comes before the
-- bound is published: a wait behind the bound would hold every reader back.
-- A definer's function: services have no right to insert events except through it. It names every
-- table with its schema instead of setting `search_path`, which would cost a tenth of the call.
create function append_events_after(
  in  p_command_id        uuid,
  in  p_aggregate_type    text,
  in  p_aggregate_id      text,
  in  p_expected_version  bigint,
  -- The command of the event at that version, as the writer knows it; null checks the number alone.
  in  p_predecessor       uuid,
  in  p_event_types       text[],
  in  p_event_versions    text[],
  in  p_payloads          jsonb[],
  in  p_metadata          jsonb,
  -- Outbox rows; null when the events ask for nothing.
  in  p_outbox_ids        uuid[]   default null,
  in  p_outbox_sequences  bigint[] default null,
  in  p_outbox_indexes    int[]    default null,
  in  p_outbox_kinds      text[]   default null,
  in  p_outbox_payloads   jsonb[]  default null,
  in  p_correlation_id    text     default null,
  -- Unique names in order: taken where true, given back where false. Null when there are none.
  in  p_claim_kinds       text[]   default null,
  in  p_claim_names       text[]   default null,
  in  p_claim_takes       bool[]   default null,
  -- The idempotency receipt; a null key when the command has none.
  in  p_receipt_scope     text     default null,
  in  p_receipt_key       text     default null,
  in  p_request_digest    text     default null,
  in  p_receipt_keep_s    bigint   default null,
  in  p_receipt_result    jsonb    default null,
  -- Positions in the order of the events.
  out positions           bigint[],
  -- Set when this very request was carried out before; then nothing was written now.
  out replayed_by         uuid,
  out replayed_first      bigint,
  out replayed_last       bigint,
  out replayed_result     jsonb
)
language plpgsql volatile security definer
as $$
declare
  v_count   int := cardinality(p_event_types);
  v_receipt public.command_receipts;
begin
  if p_receipt_key is not null then
    for v_try in 1 .. 3 loop
      insert into public.command_receipts
        (scope, key, request_digest, command_id, aggregate_type, aggregate_id,
         first_version, last_version, result, expires_at)
      values
        (p_receipt_scope, p_receipt_key, p_request_digest, p_command_id, p_aggregate_type, p_aggregate_id,
         p_expected_version, p_expected_version + v_count, coalesce(p_receipt_result, 'null'),
         clock_timestamp() + make_interval(secs => p_receipt_keep_s))
      on conflict (scope, key) do nothing;
      exit when found;
      select r.* into v_receipt
      from   public.command_receipts r
      where  r.scope = p_receipt_scope and r.key = p_receipt_key;
      if found then
        if v_receipt.request_digest <> p_request_digest then
          raise exception 'the idempotency key belongs to another request' using errcode = 'PV003';
        end if;
        replayed_by := v_receipt.command_id;
        replayed_first := v_receipt.first_version;
        replayed_last := v_receipt.last_version;
        replayed_result := v_receipt.result;
        positions := array(
          select e.position
          from   public.events e
          where  e.aggregate_type = v_receipt.aggregate_type and e.aggregate_id = v_receipt.aggregate_id
            and  v_receipt.first_version < e.sequence and e.sequence <= v_receipt.last_version
          order  by e.sequence);
        return;
      end if;
      -- The clean-up removed the receipt between the two statements: the key is free again.
      if v_try = 3 then
        raise exception 'the receipt of the idempotency key keeps changing' using errcode = '40001';
      end if;
    end loop;
  end if;

  if p_claim_names is not null then
    for i in 1 .. cardinality(p_claim_names) loop
      if p_claim_takes[i] then
        insert into public.unique_claims (kind, name, aggregate_type, aggregate_id)
        values (p_claim_kinds[i], p_claim_names[i], p_aggregate_type, p_aggregate_id)
        on conflict (kind, name) do nothing;
        -- A name that this stream holds already stays its own.
        if not found and not exists (
          select from public.unique_claims c
          where  c.kind = p_claim_kinds[i] and c.name = p_claim_names[i]
            and  c.aggregate_type = p_aggregate_type and c.aggregate_id = p_aggregate_id)
        then
          raise exception 'the name is taken'
            using errcode = 'PV002', constraint = p_claim_kinds[i], detail = p_claim_names[i];
        end if;
      else
        delete from public.unique_claims c
        where  c.kind = p_claim_kinds[i] and c.name = p_claim_names[i]
          and  c.aggregate_type = p_aggregate_type and c.aggregate_id = p_aggregate_id;
      end if;
    end loop;
  end if;

  if v_count = 0 then
    positions := '{}';
    return;
  end if;

  -- The bound: every position drawn below is larger, and the lock is seen until they are settled.
  perform pg_advisory_xact_lock_shared(public.event_append_class(), (s.last_value & 2147483647)::int)
  from    public.event_position s;

  -- `exists`: an expected version that the stream never reached would leave a hole, and an event of
  -- another command there is another history.
  -- `do nothing` and a count instead of an exception block: a block costs a subtransaction a command.
  with appended as (
    insert into public.events
      (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, command_id)
    select p_aggregate_type, p_aggregate_id, p_expected_version + n.ordinal,
           n.event_type, n.event_version, n.payload, p_metadata, p_command_id
    from   unnest(p_event_types, p_event_versions, p_payloads)
           with ordinality as n (event_type, event_version, payload, ordinal)
    where  p_expected_version = 0
       or  exists (
             select from public.events e
             where  e.aggregate_type = p_aggregate_type and e.aggregate_id = p_aggregate_id
               and  e.sequence = p_expected_version
               and  (p_predecessor is null or e.command_id = p_predecessor))
    on conflict (aggregate_type, aggregate_id, sequence) do nothing
    returning position
  )
  select array_agg(a.position order by a.position) into positions from appended a;
  if cardinality(positions) is distinct from v_count then
    raise exception 'the stream is not at version %', p_expected_version using errcode = 'PV001';
  end if;

  if p_outbox_ids is not null then
    insert into public.outbox
      (id, aggregate_type, aggregate_id, sequence, effect_index, kind, payload, correlation_id)
    select o.id, p_aggregate_type, p_aggregate_id, o.sequence, o.effect_index, o.kind, o.payload,
           p_correlation_id
    from   unnest(p_outbox_ids, p_outbox_sequences, p_outbox_indexes, p_outbox_kinds, p_outbox_payloads)
           as o (id, sequence, effect_index, kind, payload);
  end if;
end
$$;

-- Appends the events of several commands of one process in one transaction: one commit for all.
--
-- Each command is written whole or not at all, by its own version and its own receipt: one whose
-- stream has moved on or has another history, or whose key is taken, is left out, and its events are
-- missing from the answer. If another transaction writes one of the streams or takes one of the keys
-- meanwhile, the whole call may end with nothing written; the caller then sends each command by
-- itself. At most one command a stream, and none without events. Commands with unique names go
-- through append_events_after, where they may wait without a pack that waits with them.
create function append_pack_after(
  in  p_command_ids       uuid[],
  in  p_aggregate_types   text[],
  in  p_aggregate_ids     text[],
  in  p_expected_versions bigint[],
  -- The command of the event at that version, as the writer knows it; null checks the number alone.
  in  p_predecessors      uuid[],
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

  -- Before the bound is published, as in append_events_after: a wait behind it would hold readers back.
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

  -- As in append_events_after: published before the first position is drawn.
  perform pg_advisory_xact_lock_shared(public.event_append_class(), (s.last_value & 2147483647)::int)
  from    public.event_position s;

  with appended as (
    insert into public.events
      (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, command_id)
    select c.aggregate_type, c.aggregate_id, c.expected_version + n.place,
           n.event_type, n.event_version, n.payload, c.metadata, c.command_id
    from   (
             select x.*
             from   unnest(p_command_ids, p_aggregate_types, p_aggregate_ids, p_expected_versions,
                           p_predecessors, p_metadata)
                    with ordinality
                    as x (command_id, aggregate_type, aggregate_id, expected_version,
                          predecessor, metadata, ordinal)
             left   join lateral (
                      select e.sequence, e.command_id
                      from   public.events e
                      where  e.aggregate_type = x.aggregate_type and e.aggregate_id = x.aggregate_id
                      order  by e.sequence desc
                      limit  1) l on true
             where  x.ordinal <> all (v_left_out)
               and  x.expected_version = coalesce(l.sequence, 0)
               and  (x.predecessor is null or x.predecessor = l.command_id)
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

-- The names by which the release before this one appends, and which check the number alone. To be
-- dropped by the release after this one.
create or replace function append_events(
  in  p_command_id        uuid,
  in  p_aggregate_type    text,
  in  p_aggregate_id      text,
  in  p_expected_version  bigint,
  in  p_event_types       text[],
  in  p_event_versions    text[],
  in  p_payloads          jsonb[],
  in  p_metadata          jsonb,
  in  p_outbox_ids        uuid[]   default null,
  in  p_outbox_sequences  bigint[] default null,
  in  p_outbox_indexes    int[]    default null,
  in  p_outbox_kinds      text[]   default null,
  in  p_outbox_payloads   jsonb[]  default null,
  in  p_correlation_id    text     default null,
  in  p_claim_kinds       text[]   default null,
  in  p_claim_names       text[]   default null,
  in  p_claim_takes       bool[]   default null,
  in  p_receipt_scope     text     default null,
  in  p_receipt_key       text     default null,
  in  p_request_digest    text     default null,
  in  p_receipt_keep_s    bigint   default null,
  in  p_receipt_result    jsonb    default null,
  out positions           bigint[],
  out replayed_by         uuid,
  out replayed_first      bigint,
  out replayed_last       bigint,
  out replayed_result     jsonb
)
language plpgsql volatile security definer
as $$
begin
  select a.positions, a.replayed_by, a.replayed_first, a.replayed_last, a.replayed_result
  into   positions, replayed_by, replayed_first, replayed_last, replayed_result
  from   public.append_events_after(
           p_command_id, p_aggregate_type, p_aggregate_id, p_expected_version, null, p_event_types,
           p_event_versions, p_payloads, p_metadata, p_outbox_ids, p_outbox_sequences,
           p_outbox_indexes, p_outbox_kinds, p_outbox_payloads, p_correlation_id, p_claim_kinds,
           p_claim_names, p_claim_takes, p_receipt_scope, p_receipt_key, p_request_digest,
           p_receipt_keep_s, p_receipt_result) a;
end
$$;

create or replace function append_pack(
  in  p_command_ids       uuid[],
  in  p_aggregate_types   text[],
  in  p_aggregate_ids     text[],
  in  p_expected_versions bigint[],
  in  p_metadata          jsonb[],
  in  p_event_commands    int[],
  in  p_event_offsets     int[],
  in  p_event_types       text[],
  in  p_event_versions    text[],
  in  p_payloads          jsonb[],
  in  p_outbox_commands   int[]    default null,
  in  p_outbox_ids        uuid[]   default null,
  in  p_outbox_sequences  bigint[] default null,
  in  p_outbox_indexes    int[]    default null,
  in  p_outbox_kinds      text[]   default null,
  in  p_outbox_payloads   jsonb[]  default null,
  in  p_outbox_correlations text[] default null,
  in  p_receipt_commands  int[]    default null,
  in  p_receipt_scopes    text[]   default null,
  in  p_receipt_keys      text[]   default null,
  in  p_request_digests   text[]   default null,
  in  p_receipt_keep_s    bigint[] default null,
  in  p_receipt_results   jsonb[]  default null,
  out command_ids         uuid[],
  out positions           bigint[]
)
language plpgsql volatile security definer
as $$
begin
  select a.command_ids, a.positions
  into   command_ids, positions
  from   public.append_pack_after(
           p_command_ids, p_aggregate_types, p_aggregate_ids, p_expected_versions, null, p_metadata,
           p_event_commands, p_event_offsets, p_event_types, p_event_versions, p_payloads,
           p_outbox_commands, p_outbox_ids, p_outbox_sequences, p_outbox_indexes, p_outbox_kinds,
           p_outbox_payloads, p_outbox_correlations, p_receipt_commands, p_receipt_scopes,
           p_receipt_keys, p_request_digests, p_receipt_keep_s, p_receipt_results) a;
end
$$;

revoke all on function append_events_after, append_pack_after from public;
grant execute on function append_events_after, append_pack_after to pillivery_service;

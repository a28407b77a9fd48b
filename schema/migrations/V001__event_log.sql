-- The event log and what is written in the same transaction: receipts, outbox rows, unique names.
-- A table is written by `append_events` alone unless a grant below says otherwise.
set local lock_timeout = '5s';

-- CACHE 1, or a session would hand out old numbers late and readers would skip them.
create sequence event_position as bigint cache 1;
-- A fresh sequence says last_value = 1 before and after its first use; burning 1 tells the two apart.
select nextval('event_position');

create table events (
  position       bigint      not null default nextval('event_position'),
  aggregate_type text        not null,
  aggregate_id   text        not null,
  sequence       bigint      not null check (0 < sequence),
  event_type     text        not null,
  event_version  text        not null,
  payload        jsonb       not null,
  metadata       jsonb       not null,
  -- One per append: how a writer recognises its own events after it lost the answer to a commit.
  command_id     uuid        not null default gen_random_uuid(),
  recorded_at    timestamptz not null default clock_timestamp(),
  primary key (aggregate_type, aggregate_id, sequence)
);
create unique index events_by_position on events (position);

create table command_receipts (
  scope          text        not null,
  key            text        not null,
  request_digest text        not null,
  command_id     uuid        not null,
  aggregate_type text        not null,
  aggregate_id   text        not null,
  -- The command's events are those after first_version, up to last_version.
  first_version  bigint      not null,
  last_version   bigint      not null check (first_version <= last_version),
  result         jsonb       not null,
  created_at     timestamptz not null default clock_timestamp(),
  expires_at     timestamptz not null,
  primary key (scope, key)
);
create index command_receipts_by_expiry on command_receipts (expires_at);

create table outbox (
  id             uuid        primary key,
  aggregate_type text        not null,
  aggregate_id   text        not null,
  sequence       bigint      not null,
  effect_index   int         not null,
  kind           text        not null,
  payload        jsonb       not null,
  correlation_id text        not null,
  state          text        not null default 'ready'
                 check (state in ('ready', 'in_flight', 'waiting', 'unknown', 'done', 'dead', 'held')),
  attempt        int         not null default 0,
  not_before     timestamptz not null default clock_timestamp(),
  lease_owner    text,
  lease_until    timestamptz,
  fence          bigint      not null default 0,
  request        jsonb,
  outcome        jsonb,
  last_error     text,
  created_at     timestamptz not null default clock_timestamp(),
  updated_at     timestamptz not null default clock_timestamp()
);
create index outbox_due on outbox (not_before) where state in ('ready', 'waiting', 'unknown');
create index outbox_leased on outbox (lease_until) where state = 'in_flight';
create index outbox_by_stream on outbox (aggregate_id, sequence, effect_index);

-- Where finished rows go, so that the outbox stays small.
create table outbox_done (like outbox including defaults including constraints);
alter table outbox_done add primary key (id);
create index outbox_done_by_age on outbox_done (updated_at);

create table unique_claims (
  kind           text        not null,
  name           text        not null,
  aggregate_type text        not null,
  aggregate_id   text        not null,
  taken_at       timestamptz not null default clock_timestamp(),
  primary key (kind, name)
);

-- Everything at or below `safe` is settled: committed and visible, or never to come.
create table feed_position (
  only_row       boolean     primary key default true check (only_row),
  safe           bigint      not null,
  updated_at     timestamptz not null default clock_timestamp()
) with (fillfactor = 10);
insert into feed_position (safe) values (0);

create table user_keys (
  user_id        uuid        primary key,
  wrapped_key    bytea       not null,
  created_at     timestamptz not null default clock_timestamp()
);

-- The class of the advisory locks that appends hold: the one place where writers and readers agree.
create function event_append_class() returns int
language sql immutable parallel safe
as 'select 1886285165';

-- SQLSTATEs of this schema: PV001 version conflict, PV002 unique name taken, PV003 receipt of another
-- request, PV004 the log is append-only, PV005 arguments that cannot belong together.
create function refuse_change() returns trigger
language plpgsql
as $$
begin
  raise exception 'the event log is append-only: % on %', tg_op, tg_table_name
    using errcode = 'PV004', table = tg_table_name;
end
$$;

create trigger events_are_for_ever
  before update or delete or truncate on events
  for each statement execute function refuse_change();

-- Appends the events of one command, and all that belongs to them, or nothing.
--
-- What may wait for another transaction and is not the log itself (receipt, names) comes before the
-- bound is published: a wait behind the bound would hold every reader back.
-- A definer's function: services have no right to insert events except through it. It names every
-- table with its schema instead of setting `search_path`, which would cost a tenth of the call.
create function append_events(
  in  p_command_id        uuid,
  in  p_aggregate_type    text,
  in  p_aggregate_id      text,
  in  p_expected_version  bigint,
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
    insert into public.command_receipts
      (scope, key, request_digest, command_id, aggregate_type, aggregate_id,
       first_version, last_version, result, expires_at)
    values
      (p_receipt_scope, p_receipt_key, p_request_digest, p_command_id, p_aggregate_type, p_aggregate_id,
       p_expected_version, p_expected_version + v_count, coalesce(p_receipt_result, 'null'),
       clock_timestamp() + make_interval(secs => p_receipt_keep_s))
    on conflict (scope, key) do nothing;
    if not found then
      select r.* into strict v_receipt
      from   public.command_receipts r
      where  r.scope = p_receipt_scope and r.key = p_receipt_key;
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

  -- `exists`: an expected version that the stream never reached would leave a hole.
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
               and  e.sequence = p_expected_version)
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
-- Each command is written whole or not at all, by its own version: one whose stream has moved on is
-- left out, and its events are missing from the answer. If another transaction writes one of the
-- streams between the look and the insert, the primary key ends the whole call and nothing is
-- written; the caller then sends each command by itself. At most one command a stream. Commands with
-- a receipt or with unique names go through append_events, where they may wait without company.
create function append_packed(
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
  -- What was written: the command and the position of each event, by position.
  out command_ids         uuid[],
  out positions           bigint[]
)
language plpgsql volatile security definer
as $$
begin
  -- A stream that another transaction is writing must not hold the other commands up.
  perform set_config('lock_timeout', '200ms', true);

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
             where  x.expected_version = coalesce((
                      select max(e.sequence)
                      from   public.events e
                      where  e.aggregate_type = x.aggregate_type and e.aggregate_id = x.aggregate_id), 0)
             offset 0
           ) c
    join   unnest(p_event_commands, p_event_offsets, p_event_types, p_event_versions, p_payloads)
           as n (command, place, event_type, event_version, payload)
           on n.command = c.ordinal
    -- One order for everybody, so that two packs that meet wait for each other in a line.
    order  by c.aggregate_type, c.aggregate_id, n.place
    returning command_id, position
  )
  select array_agg(a.command_id order by a.position), array_agg(a.position order by a.position)
  into   command_ids, positions
  from   appended a;

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

-- Locks and sequences are seen by everybody; rows only by whom they are granted to.
do $$
begin
  if not exists (select from pg_roles where rolname = 'pillivery_service') then
    create role pillivery_service nologin;
  end if;
exception
  -- Roles belong to the cluster: another database's migration may have made it a moment ago.
  when duplicate_object or unique_violation then null;
end
$$;

revoke all on function append_events from public;
revoke all on function append_packed from public;
grant execute on function append_events, append_packed to pillivery_service;
grant select on events, event_position, feed_position, command_receipts, unique_claims
  to pillivery_service;
grant update on feed_position to pillivery_service;
grant delete on command_receipts to pillivery_service;
grant select, update, delete on outbox to pillivery_service;
grant select, insert, delete on outbox_done to pillivery_service;
grant select, insert, delete on user_keys to pillivery_service;

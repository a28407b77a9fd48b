-- Five database roles instead of one, and a schema of its own for what the projector owns.
--
-- pillivery_service keeps what it had, so that processes of the release before this one go on; the
-- release after this one drops it. Their statements find the read models by the database's
-- search_path, and their sessions get it when they connect again (V018).
set local lock_timeout = '5s';

-- As in schema/roles.sql, for a database that a superuser migrates.
do $$
declare
  v_role text;
begin
  foreach v_role in array array[
    -- Owns the log and everything that migrations make.
    'pillivery_migrator',
    -- checkout-api: executes the append functions, keeps accounts and keys.
    'pillivery_writer',
    -- worker: executes the append functions, keeps the outbox and its own tables.
    'pillivery_worker',
    -- projector: owns the schema read_model and nothing else.
    'pillivery_projector',
    -- storefront-api: reads.
    'pillivery_reader',
    -- Every process of the release before V017.
    'pillivery_service']
  loop
    begin
      if not exists (select from pg_roles where rolname = v_role) then
        execute format('create role %I nologin', v_role);
      end if;
    exception
      -- Roles belong to the cluster: another database's migration may have made it a moment ago.
      when duplicate_object or unique_violation then null;
    end;
  end loop;
  begin
    -- A migration creates read_model for the projector and may change what lies in it.
    if not pg_has_role('pillivery_migrator', 'pillivery_projector', 'member') then
      grant pillivery_projector to pillivery_migrator;
    end if;
  exception
    when unique_violation then null;
  end;
end
$$;

-- What was made before this migration by another role, a superuser as a rule.
do $$
declare
  v_statement text;
begin
  for v_statement in
    select format('alter table %s owner to pillivery_migrator', c.oid::regclass)
    from   pg_class c
    where  c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'S')
      and  c.relowner <> 'pillivery_migrator'::regrole
      and  not exists (select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'e', 'i'))
    union all
    select format('alter function %s owner to pillivery_migrator', p.oid::regprocedure)
    from   pg_proc p
    where  p.pronamespace = 'public'::regnamespace
      and  p.proowner <> 'pillivery_migrator'::regrole
      and  not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
  loop
    execute v_statement;
  end loop;
end
$$;

create schema read_model authorization pillivery_projector;

-- The read models in all their versions, and their bookkeeping. item_views_daily stays: it comes from
-- no event and is not the projector's to drop.
do $$
declare
  v_name text;
begin
  for v_name in
    select c.relname
    from   pg_class c
    where  c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
      and  (c.relname in ('projection', 'projection_shard', 'parked_event', 'projection_position')
            or c.relname ~ ('^(item_by_category|item_by_category_item|item_by_category_order|item_search'
                            '|item_detail|category_totals|category_totals_item|cart_view|order_history'
                            '|payment_ledger|payment_ledger_order)(_v[0-9]+)?$'))
  loop
    execute format('alter table public.%I set schema read_model', v_name);
    execute format('alter table read_model.%I owner to pillivery_projector', v_name);
  end loop;
end
$$;

-- public first: what lies in read_model can hide no table and no function of public.
do $$
begin
  execute format('alter database %I set search_path = public, read_model', current_database());
end
$$;
set search_path = public, read_model;

revoke create on schema public from public;
grant usage on schema public
  to pillivery_writer, pillivery_worker, pillivery_projector, pillivery_reader;
grant usage, create on schema public to pillivery_migrator;
grant usage on schema read_model to pillivery_reader, pillivery_worker, pillivery_service;

-- The append functions run as pillivery_migrator. They name every table with its schema; this is for
-- the functions and operators in them.
alter function append_events_after set search_path = pg_catalog, pg_temp;
alter function append_pack_after set search_path = pg_catalog, pg_temp;
alter function append_events set search_path = pg_catalog, pg_temp;
alter function append_pack set search_path = pg_catalog, pg_temp;

-- Whoever appends.
grant execute on function append_events_after, append_pack_after
  to pillivery_writer, pillivery_worker;
grant select on events, events_with_identity, command_receipts, unique_claims
  to pillivery_writer, pillivery_worker;
-- Whoever reads the log in order, or publishes how far it is settled.
grant select on event_position, feed_position
  to pillivery_writer, pillivery_worker, pillivery_projector, pillivery_reader;
grant update on feed_position to pillivery_writer, pillivery_worker, pillivery_projector;

-- writer: accounts and keys; of the outbox what an operator may do with a row, and what it shows.
grant select, insert, update, delete on credentials to pillivery_writer;
grant select, insert, delete on user_keys to pillivery_writer;
grant select, update on outbox, parked_reaction to pillivery_writer;
grant select, insert on outbox_intervention to pillivery_writer;
grant select on
  outbox_done, billing_keys, payment_index, refund_index, payment_difference, gateway_breaker
to pillivery_writer;

-- worker: the outbox and what reactions, schedules and reconciliation keep.
grant select on user_keys to pillivery_worker;
-- To lock the rows that it deletes takes the right to update; no column but this one needs it.
grant delete, update (expires_at) on command_receipts to pillivery_worker;
grant select, update, delete on outbox to pillivery_worker;
grant select, insert, delete on outbox_done, billing_key_orphans to pillivery_worker;
grant select, insert on outbox_intervention to pillivery_worker;
grant select, insert, update on billing_keys, reaction_checkpoint, payment_difference
  to pillivery_worker;
grant select, insert, update, delete on
  parked_reaction, order_expiry, payment_index, refund_index, gateway_breaker
to pillivery_worker;
grant execute on function outbox_request_sent, outbox_outcome_known, outbox_reported
  to pillivery_worker;
-- How far the projector is, for the gauges.
grant select on
  read_model.projection, read_model.projection_shard, read_model.parked_event,
  read_model.projection_position
to pillivery_worker;

-- projector: what it folds. All else it owns.
grant select on events, events_with_identity, item_views_daily to pillivery_projector;

-- reader: the read models, present and future, and the keys of what is sealed in them.
grant select on all tables in schema read_model to pillivery_reader;
grant select on user_keys, item_views_daily to pillivery_reader;
alter default privileges for role pillivery_projector in schema read_model
  grant select on tables to pillivery_reader;
alter default privileges for role pillivery_projector in schema read_model
  grant select, insert, update, delete on tables to pillivery_service;

-- What later migrations make in this session has the same owner.
set role pillivery_migrator;

-- The group roles of the database, made by a superuser before the first migration. Harmless to repeat.
-- What each may do is granted by V017; how login roles are made stands in
-- ops/runbooks/database-roles.md.
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

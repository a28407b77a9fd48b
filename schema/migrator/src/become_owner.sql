-- Whether this session may act as pillivery_migrator, and that role owns what there is: it may create
-- in public, and the log, once there, is its own.
do $$
declare
  v_owner oid := to_regrole('pillivery_migrator');
begin
  if v_owner is not null
     and pg_has_role(v_owner, 'member')
     and has_schema_privilege(v_owner, 'public', 'create')
     and coalesce((select c.relowner = v_owner
                   from   pg_class c
                   where  c.oid = to_regclass('public.events')), true)
  then
    set role pillivery_migrator;
  end if;
end
$$;

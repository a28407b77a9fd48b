-- Sessions that were opened before V017 look for the read models in public alone. They are ended, and
-- their pools connect again; until then, for less than a second, they are refused. Not in V017,
-- because a session that connects again before its commit would have learned nothing.
set local lock_timeout = '5s';
-- As the login role: pillivery_migrator may end nothing.
set local role none;

do $$
begin
  perform pg_terminate_backend(a.pid)
  from    pg_stat_activity a
  where   a.datname = current_database() and a.pid <> pg_backend_pid()
    and   a.application_name in ('storefront-api', 'projector', 'projector-command');
exception
  when insufficient_privilege then
    raise warning 'restart storefront-api and projector of the release before: this role may not end their sessions';
end
$$;

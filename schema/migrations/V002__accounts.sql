-- How people prove who they are. Not events: a password hash must be replaceable and erasable.
--
-- There is no e-mail address here, and no digest of one. Whose an address is stands in
-- unique_claims alone, written by the sign-up's own append: a row that no claim leads to (the
-- process died before the append) lets nobody in and keeps nobody out.
set local lock_timeout = '5s';

create table credentials (
  user_id          uuid        primary key,
  -- Null for an account that only ever logs in through somebody else.
  password_hash    text,
  role             text        not null check (role in ('USER', 'ADMIN')),
  -- Wrong passwords since the last right one; what the growing pauses are counted from.
  failed_logins    int         not null default 0 check (0 <= failed_logins),
  -- Until then no password is looked at, the right one included.
  locked_until     timestamptz,
  created_at       timestamptz not null,
  changed_at       timestamptz not null
);

grant select, insert, update, delete on credentials to pillivery_service;

-- The merchant code and the payment that a recurring key was issued with, and second keys of one id.
set local lock_timeout = '5s';

-- Null in rows of before: such a key is used with the configured code.
alter table billing_keys add column cid text;
-- The payment that yielded the key; null in rows of before.
alter table billing_keys add column tid text;

-- Keys that nothing uses but that are alive at KakaoPay: an order that two approvals paid yields two.
-- Kept until they are ended there. In a row of before V016 the first key's payment is unknown, so
-- open both and compare them before an orphan is ended: it may be the same key.
create table billing_key_orphans (
  billing_key_id  uuid        not null,
  tid             text        not null,
  user_id         uuid        not null,
  sealed_sid      jsonb       not null,
  partner_user_id text        not null,
  cid             text,
  since           timestamptz not null default clock_timestamp(),
  primary key (billing_key_id, tid)
);

grant select, insert, delete on billing_key_orphans to pillivery_service;

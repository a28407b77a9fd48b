-- What the worker keeps beside the log: recurring keys, reactions' checkpoints, the expiry index.
set local lock_timeout = '5s';

-- Recurring keys. The log only refers to them: the key itself is sealed under its user's key.
create table billing_keys (
  billing_key_id  uuid        primary key,
  user_id         uuid        not null,
  -- Null when KakaoPay issued the key and the answer that held it was lost: the user registers again.
  sealed_sid      jsonb,
  -- Our pseudonym of the payer as it was when the key was issued; every charge must repeat it.
  partner_user_id text,
  state           text        not null check (state in ('active', 'missing', 'inactive')),
  created_at      timestamptz not null default clock_timestamp(),
  updated_at      timestamptz not null default clock_timestamp(),
  check (state <> 'active' or (sealed_sid is not null and partner_user_id is not null))
);
create index billing_keys_by_user on billing_keys (user_id);

-- How far each reaction has come. Locked while a batch is applied, so that two workers never
-- apply batches of one reaction at the same time.
create table reaction_checkpoint (
  name            text        primary key,
  position        bigint      not null default 0 check (0 <= position),
  updated_at      timestamptz not null default clock_timestamp()
);

-- Events that a reaction could not handle, and later ones of the same stream: set aside, alarmed,
-- handled again by an operator. Never skipped silently, never in the way of others.
create table parked_reaction (
  name            text        not null,
  position        bigint      not null,
  aggregate_type  text        not null,
  aggregate_id    text        not null,
  event_type      text        not null,
  error           text        not null,
  attempts        int         not null default 1,
  -- Set by an operator: the reaction handles it once more.
  retry_asked     boolean     not null default false,
  parked_at       timestamptz not null default clock_timestamp(),
  primary key (name, position)
);
create index parked_reaction_by_stream on parked_reaction (name, aggregate_id);

-- Unpaid orders and when they expire, folded from the log by a reaction. The order itself decides.
create table order_expiry (
  order_id        uuid        primary key,
  expires_at      timestamptz not null,
  -- After a try that changed nothing (a payment is under way), when to ask again.
  not_before      timestamptz not null
);
create index order_expiry_due on order_expiry (not_before);

grant select, insert, update on billing_keys to pillivery_service;
grant select, insert, update on reaction_checkpoint to pillivery_service;
grant select, insert, update, delete on parked_reaction to pillivery_service;
grant select, insert, update, delete on order_expiry to pillivery_service;

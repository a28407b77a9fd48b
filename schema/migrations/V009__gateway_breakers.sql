-- How the workers' circuit breakers stand, so that the command APIs can refuse a shopper at once
-- instead of recording an attempt that nobody will send. A hint: without it the attempt is recorded,
-- not sent, and ended.
set local lock_timeout = '5s';

-- Unlogged: after a crash each worker says it again within seconds.
create unlogged table gateway_breaker (
  worker     text        not null,
  -- The class of calls, for example checkout.
  class      text        not null,
  -- Until when this worker calls nobody; null while it does call.
  open_until timestamptz,
  -- A worker that says nothing any more is gone.
  told_at    timestamptz not null,
  primary key (class, worker)
);

grant select, insert, update, delete on gateway_breaker to pillivery_service;

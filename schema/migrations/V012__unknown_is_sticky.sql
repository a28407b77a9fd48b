-- A row of the outbox remembers that its outcome is unknown, and a claim is never handed out twice.
set local lock_timeout = '5s';

alter table outbox
  -- Since when the outcome of a call is unknown. Cleared by nothing but the row's end: the row is
  -- looked up before anything else is done, and ends by what a look-up reports.
  add column unknown_since timestamptz,
  -- The claim. Never repeated, unlike `fence`: a database that crashed before a claim was flushed
  -- hands the same fence out again. `fence` is dropped once no worker of the release before runs.
  add column claim uuid,
  -- When the request was last stored, which is before it was sent.
  add column requested_at timestamptz,
  -- How often the request was stored and then sent, or may have been.
  add column calls int not null default 0,
  -- Who waits for it. Shoppers wait for a page and for an approval; whatever is not known here, new
  -- kinds included, waits in a queue of its own and never in front of them.
  add column class text not null generated always as
    (case when kind in ('payment_ready', 'payment_approve') then 'shopper' else 'background' end) stored;

alter table outbox_done
  add column unknown_since timestamptz,
  add column requested_at timestamptz,
  add column calls int;

-- A request that was stored may have been sent: until now only the state said whether it was, and a
-- row that waits after a call that was certainly not sent had forgotten an earlier one.
update outbox set unknown_since = updated_at where request is not null and outcome is null;
update outbox set requested_at = clock_timestamp(), calls = 1 where request is not null;

drop index outbox_due;
create index outbox_due on outbox (class, not_before, sequence) where state in ('ready', 'waiting', 'unknown');

-- As the functions of V010, by claim instead of fence. Owner and claim: a worker of the release before
-- takes a row over by owner and fence alone. The functions of V010 are dropped one release later.
-- They return the claims that stood and not the rows: one worker may write under an old and a new claim
-- of the same row at once.
create function outbox_request_sent(
  p_owner text, p_ids uuid[], p_claims uuid[], p_requests jsonb[], p_lease_ms bigint
) returns setof uuid
language plpgsql volatile
as $$
declare
  v_lease interval := make_interval(secs => p_lease_ms / 1000.0);
begin
  for i in 1 .. coalesce(cardinality(p_ids), 0) loop
    return query
      update outbox o
      set    request = p_requests[i], requested_at = clock_timestamp(), calls = o.calls + 1,
             updated_at = clock_timestamp(),
             lease_until = case when o.lease_until < clock_timestamp() + v_lease * 2 / 3
                                then clock_timestamp() + v_lease else o.lease_until end
      where  o.id = p_ids[i] and o.lease_owner = p_owner and o.claim = p_claims[i]
        and  o.lease_until is not null
      returning o.claim;
  end loop;
end
$$;

create function outbox_outcome_known(
  p_owner text, p_ids uuid[], p_claims uuid[], p_outcomes jsonb[]
) returns setof uuid
language plpgsql volatile
as $$
begin
  -- As in V010: the commit of the event that follows takes this one along.
  perform set_config('synchronous_commit', 'off', true);
  for i in 1 .. coalesce(cardinality(p_ids), 0) loop
    return query
      update outbox o
      set    outcome = p_outcomes[i], updated_at = clock_timestamp()
      where  o.id = p_ids[i] and o.lease_owner = p_owner and o.claim = p_claims[i]
        and  o.lease_until is not null
      returning o.claim;
  end loop;
end
$$;

create function outbox_reported(p_owner text, p_ids uuid[], p_claims uuid[]) returns setof uuid
language plpgsql volatile
as $$
begin
  -- As in V010: lost before it reached the disk, the outcome is reported once more.
  perform set_config('synchronous_commit', 'off', true);
  for i in 1 .. coalesce(cardinality(p_ids), 0) loop
    return query
      with finished as (
        delete from outbox o
        where  o.id = p_ids[i] and o.lease_owner = p_owner and o.claim = p_claims[i]
          and  o.lease_until is not null
        returning o.id, o.aggregate_type, o.aggregate_id, o.sequence, o.effect_index, o.kind, o.payload,
                  o.correlation_id, o.attempt, o.not_before, o.fence, o.request, o.outcome, o.last_error,
                  o.created_at, o.unknown_since, o.requested_at, o.calls, o.claim
      ), moved as (
        insert into outbox_done
          (id, aggregate_type, aggregate_id, sequence, effect_index, kind, payload,
         correlation_id, state, attempt, not_before, fence, request, outcome, last_error, created_at,
         updated_at, unknown_since, requested_at, calls)
      select f.id, f.aggregate_type, f.aggregate_id, f.sequence, f.effect_index, f.kind, f.payload,
             f.correlation_id, 'done', f.attempt, f.not_before, f.fence, f.request, f.outcome,
             f.last_error, f.created_at, clock_timestamp(), f.unknown_since, f.requested_at, f.calls
        from   finished f
      )
      select f.claim from finished f;
  end loop;
end
$$;

-- The release before stores requests by this one: it, too, leaves when and how often a row was sent.
create or replace function outbox_store_requests(
  p_owner text, p_ids uuid[], p_fences bigint[], p_requests jsonb[], p_lease_ms bigint
) returns setof uuid
language plpgsql volatile
as $$
declare
  v_lease interval := make_interval(secs => p_lease_ms / 1000.0);
begin
  for i in 1 .. coalesce(cardinality(p_ids), 0) loop
    return query
      update outbox o
      set    request = p_requests[i], requested_at = clock_timestamp(), calls = o.calls + 1,
             updated_at = clock_timestamp(),
             lease_until = case when o.lease_until < clock_timestamp() + v_lease * 2 / 3
                                then clock_timestamp() + v_lease else o.lease_until end
      where  o.id = p_ids[i] and o.lease_owner = p_owner and o.fence = p_fences[i]
        and  o.lease_until is not null
      returning o.id;
  end loop;
end
$$;

revoke all on function outbox_request_sent, outbox_outcome_known, outbox_reported from public;
grant execute on function outbox_request_sent, outbox_outcome_known, outbox_reported
  to pillivery_service;

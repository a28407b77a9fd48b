-- The relay's writes of many rows, each by its primary key.
--
-- The outbox is empty when statements are planned and holds thousands of rows a moment later, so any
-- plan that joins it reads all that is under way for each pack: 0.5 ms a row. A look-up by the key,
-- row by row, is right whatever the planner believes. That a lease stands says the same as the state
-- 'in_flight', and offers no partial index instead of the key.
set local lock_timeout = '5s';

-- Room for the new versions of a row on its own page: none of the relay's writes between claim and
-- end then touches an index.
alter table outbox set (fillfactor = 50);

-- What is about to be sent. Renews a lease of which a third is over. Returns the rows whose claim
-- still stood.
create function outbox_store_requests(
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
      set    request = p_requests[i], updated_at = clock_timestamp(),
             lease_until = case when o.lease_until < clock_timestamp() + v_lease * 2 / 3
                                then clock_timestamp() + v_lease else o.lease_until end
      where  o.id = p_ids[i] and o.lease_owner = p_owner and o.fence = p_fences[i]
        and  o.lease_until is not null
      returning o.id;
  end loop;
end
$$;

-- What came of it. The commit need not wait for the disk: the event that tells the aggregate follows
-- on the same log of the database, and its commit, which does wait, takes this one along. Lost before
-- that, the outcome is looked up again, as after any crash between call and record.
create function outbox_store_outcomes(
  p_owner text, p_ids uuid[], p_fences bigint[], p_outcomes jsonb[]
) returns setof uuid
language plpgsql volatile
as $$
begin
  perform set_config('synchronous_commit', 'off', true);
  for i in 1 .. coalesce(cardinality(p_ids), 0) loop
    return query
      update outbox o
      set    outcome = p_outcomes[i], updated_at = clock_timestamp()
      where  o.id = p_ids[i] and o.lease_owner = p_owner and o.fence = p_fences[i]
        and  o.lease_until is not null
      returning o.id;
  end loop;
end
$$;

-- Carried out and told: the rows leave the outbox. Lost before it reached the disk, the row is told
-- once more, under the same receipt.
create function outbox_finish(p_owner text, p_ids uuid[], p_fences bigint[]) returns setof uuid
language plpgsql volatile
as $$
begin
  perform set_config('synchronous_commit', 'off', true);
  for i in 1 .. coalesce(cardinality(p_ids), 0) loop
    return query
      with finished as (
        delete from outbox o
        where  o.id = p_ids[i] and o.lease_owner = p_owner and o.fence = p_fences[i]
          and  o.lease_until is not null
        returning o.id, o.aggregate_type, o.aggregate_id, o.sequence, o.effect_index, o.kind, o.payload,
                  o.correlation_id, o.attempt, o.not_before, o.fence, o.request, o.outcome, o.last_error,
                  o.created_at
      )
      insert into outbox_done
        (id, aggregate_type, aggregate_id, sequence, effect_index, kind, payload,
         correlation_id, state, attempt, not_before, fence, request, outcome, last_error, created_at,
         updated_at)
      select f.id, f.aggregate_type, f.aggregate_id, f.sequence, f.effect_index, f.kind, f.payload,
             f.correlation_id, 'done', f.attempt, f.not_before, f.fence, f.request, f.outcome,
             f.last_error, f.created_at, clock_timestamp()
      from   finished f
      returning outbox_done.id;
  end loop;
end
$$;

revoke all on function outbox_store_requests, outbox_store_outcomes, outbox_finish from public;
grant execute on function outbox_store_requests, outbox_store_outcomes, outbox_finish
  to pillivery_service;

-- Requeues the row. $6: the try counts; our own restraint does not use one up. $8: the request that was
-- stored under this claim was certainly not sent; forgotten, unless an earlier call may have been. $9: the
-- calls before this claim.
update outbox
set    state = $4, not_before = clock_timestamp() + make_interval(secs => $5::bigint / 1000.0),
       attempt = attempt - case when $6 then 0 else 1 end, last_error = $7,
       request = case when $8 and unknown_since is null then null else request end,
       calls = case when $8 then $9 else calls end,
       unknown_since = case when $4 = 'unknown' then coalesce(unknown_since, clock_timestamp())
                            else unknown_since end,
       lease_owner = null, lease_until = null, updated_at = clock_timestamp()
where  id = $1 and lease_owner = $2 and claim = $3 and lease_until is not null

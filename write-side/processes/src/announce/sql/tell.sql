-- How the breaker of this worker stands; and away with workers that have been gone for long.
with gone as (
  delete from gateway_breaker where told_at < now() - interval '1 hour'
)
insert into gateway_breaker (worker, class, open_until, told_at)
values ($1, $2, now() + make_interval(secs => $3::bigint / 1000.0), now())
on conflict (class, worker) do update
set    open_until = excluded.open_until, told_at = excluded.told_at

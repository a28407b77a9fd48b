-- How long every worker will still refuse to open a payment page, in milliseconds; null when one of
-- them would ask the gateway, or when none has said anything for a while.
select case when bool_and(coalesce(now() < b.open_until, false))
            then (extract(epoch from min(b.open_until) - now()) * 1000)::bigint end
from   gateway_breaker b
where  b.class in ('checkout', 'checkout_test') and now() - interval '10 seconds' < b.told_at

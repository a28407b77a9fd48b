-- Whether a worker opens payment pages under test codes, which move no money; null when none has said
-- anything for a while.
select bool_or(b.class = 'checkout_test')
from   gateway_breaker b
where  b.class in ('checkout', 'checkout_test') and now() - interval '10 seconds' < b.told_at

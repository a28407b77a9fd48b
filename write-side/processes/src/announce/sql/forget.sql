-- This worker ends: it neither calls nor refuses.
delete from gateway_breaker where worker = $1

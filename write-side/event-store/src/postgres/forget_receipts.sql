-- Receipts past their keeping time, oldest first and not too many, so that no append waits long.
-- By the clock that set the time; selected, because the index takes no volatile function.
delete from command_receipts r
where  (r.scope, r.key) in (
         select x.scope, x.key
         from   command_receipts x
         where  x.expires_at < (select clock_timestamp())
         order  by x.expires_at
         limit  $1
         for update skip locked)

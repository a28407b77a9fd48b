-- Receipts past their keeping time, oldest first and not too many, so that no append waits long.
delete from command_receipts r
where  (r.scope, r.key) in (
         select x.scope, x.key
         from   command_receipts x
         where  x.expires_at < $1
         order  by x.expires_at
         limit  $2
         for update skip locked)

-- Calls that moved money and took more than one try: each of them was looked up in between.
select count(*) as settled_late
from   outbox_done d
where  d.kind in ('payment_approve', 'payment_cancel') and 1 < d.attempt

-- Every entry of the ledger.
select l.booking, l.account, l.order_id, l.attempt, l.amount, l.position
from   payment_ledger l

-- When a payment without outcome is looked at next.
update payment_index set not_before = $3
where  order_id = $1 and attempt = $2 and state in ('approving', 'unresolved')

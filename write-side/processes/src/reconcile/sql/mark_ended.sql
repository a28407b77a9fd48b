-- The order says that the attempt has ended, and the index does not yet, or never will: an event that
-- was parked is handled after later ones. From here on the attempt is looked up as an ended one.
update payment_index set state = 'ended', since = $3, not_before = $3
where  order_id = $1 and attempt = $2 and state in ('approving', 'unresolved')

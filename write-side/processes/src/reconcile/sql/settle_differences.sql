-- Differences of a payment that are gone; $3 are the kinds that were found this time.
update reconciliation_difference
set    settled_at = $4
where  order_id = $1 and attempt = $2 and settled_at is null and kind <> all ($3)

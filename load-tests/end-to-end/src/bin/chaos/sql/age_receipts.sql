-- Receipts end so many seconds earlier.
update command_receipts
set    expires_at = expires_at - make_interval(secs => $1::bigint)

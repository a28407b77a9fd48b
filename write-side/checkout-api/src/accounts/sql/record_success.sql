-- The condition keeps the usual login, which has nothing to forget, from writing at all.
update credentials
set    failed_logins = 0, locked_until = null
where  user_id = $1 and (0 < failed_logins or locked_until is not null)

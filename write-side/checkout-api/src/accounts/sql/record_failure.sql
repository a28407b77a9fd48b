-- Counted in the statement itself, so that parallel guesses all count.
-- $3 tries are free; then the pause doubles from one second up to 2^$4 seconds.
update credentials
set    failed_logins = failed_logins + 1,
       locked_until = case
         when failed_logins + 1 <= $3 then null
         else $2::timestamptz
              + interval '1 second' * power(2, least(failed_logins - $3, $4))
       end
where  user_id = $1

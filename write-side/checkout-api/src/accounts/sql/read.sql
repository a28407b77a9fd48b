-- By user, never by e-mail: whose an e-mail is stands in unique_claims.
select password_hash, role, failed_logins, locked_until
from   credentials
where  user_id = $1

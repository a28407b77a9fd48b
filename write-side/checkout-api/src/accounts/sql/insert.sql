-- Written before the sign-up is recorded: until a claimed e-mail leads here it lets nobody in.
insert into credentials (user_id, password_hash, role, created_at, changed_at)
values ($1, $2, $3, $4, $4)

-- Takes back what a refused sign-up had prepared; no claim leads to this row.
delete from credentials
where  user_id = $1

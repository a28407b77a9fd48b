-- The erasure itself: without this row nothing sealed for the user opens.
delete from user_keys
where  user_id = $1

-- What an operator wants handled once more.
select position from parked_reaction where name = $1 and retry_asked order by position limit 100

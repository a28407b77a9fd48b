-- list.sql: one page of a list. The words in braces are put in by statements.rs: a sort key, its
-- direction, what is filtered by, and where to begin. Key and id run in the same direction, so that
-- one index serves an order and its reverse and a cursor is one row comparison.
select card, {key}, item_id
from   item_by_category
where  category = $1{filters}{after}
order  by {key} {direction}, item_id {direction}
limit  $2 offset $3

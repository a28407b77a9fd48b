-- search.sql: one page of a list that a brand or a keyword filters. What matches is found first, by
-- the index of what was searched for, and sorted then: matches are few, and the order of a sort key
-- would lead past all the others. `offset 0` keeps the two apart.
select card, {key}, item_id
from   (
  select card, {key}, item_id
  from   item_by_category
  where  category = $1{filters}
  offset 0
) as matching
where  true{after}
order  by {key} {direction}, item_id {direction}
limit  $2 offset $3

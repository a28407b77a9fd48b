
  -- The grams find candidates by the index, the texts decide. `is true` keeps this a look-up in a
  -- hash table instead of a join, which would lose the order of the scan around it.
  and  (item_id in (
         select item_id
         from   item_search
         where  grams @> {grams} and search_text like all ({patterns})
       )) is true

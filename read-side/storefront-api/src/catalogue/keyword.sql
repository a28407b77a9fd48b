-- keyword.sql: the condition that finds a keyword. The grams find candidates by the index, the texts
-- decide. `is true` keeps this a look-up in a hash table; a join would lose the order of the scan.
       (item_id in (
         select item_id
         from   item_search
         where  grams @> {grams} and search_text like all ({patterns})
       )) is true

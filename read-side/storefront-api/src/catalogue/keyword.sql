-- keyword.sql: the condition that finds a keyword. The grams find candidates by the index, the texts
-- decide.
       item_id in (
         select item_id
         from   item_search
         where  grams @> {grams} and search_text like all ({patterns})
       )

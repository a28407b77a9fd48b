-- search.sql: what a search looks into, for the items of items.sql.
insert into item_search_v1 (item_id, search_text, grams)
select item_id, text, array(
         select distinct gram
         from   generate_series(1, length(text)) at,
                lateral (values (substr(text, at, 1)), (substr(text, at, 2))) as cut (gram)
         where  gram !~ '\s'
       )
from   item_by_category_v1,
       lateral (select (card::json ->> 'name') || chr(10) || enterprise) as joined (text)
where  category = 'ALL';

analyze item_search_v1;

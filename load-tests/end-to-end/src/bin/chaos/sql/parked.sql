-- Events that a reaction or a projection set aside.
select 'reaction ' || r.name as reader, r.aggregate_id, r.event_type, r.error
from   parked_reaction r
union all
select 'projection ' || p.name, p.aggregate_id, p.event_type, coalesce(p.error, 'behind another')
from   parked_event p

-- The recurring key of an approval. One that arrives after it was thought missing takes its place;
-- one that is there already stays.
insert into billing_keys (billing_key_id, user_id, sealed_sid, partner_user_id, cid, tid, state)
values ($1, $2, $3, $4, $5, $6, case when $3::jsonb is null then 'missing' else 'active' end)
on conflict (billing_key_id) do update
set    sealed_sid = excluded.sealed_sid, partner_user_id = excluded.partner_user_id,
       cid = excluded.cid, tid = excluded.tid,
       state = 'active', updated_at = clock_timestamp()
where  billing_keys.state = 'missing' and excluded.state = 'active'

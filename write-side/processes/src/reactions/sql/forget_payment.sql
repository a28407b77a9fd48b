-- The gateway said no, or was never asked: no money moved.
delete from payment_index p
using  unnest($1::uuid[], $2::int[]) as gone (order_id, attempt)
where  p.order_id = gone.order_id and p.attempt = gone.attempt and p.state <> 'approved'

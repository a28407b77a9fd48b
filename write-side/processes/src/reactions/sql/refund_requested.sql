-- A refund that the gateway is asked for.
insert into refund_index (refund_id, order_id, attempt, amount, state, is_automatic, requested_at,
                          due_on, since, not_before, asked_position, position)
values ($1, $2, $3, $4, 'pending', $5, $6, $7, $6, $8, $9, $9)
on conflict (refund_id) do nothing

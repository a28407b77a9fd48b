//! The effects of one order are carried out one at a time, in the order of its events.
//!
//! Without `not exists … earlier` in `relay/sql/claim.sql` (checked by deleting it) all three refunds
//! below are claimed at once, each with a guard that only fits when the one before is through.

use contracts::events::OrderKind;
use domain::order::OrderStatus;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn one_row_of_a_stream_at_a_time_and_the_oldest_first() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    world.is_idle().await;
    worker.stop().await.unwrap();

    let refund_id = world.refund(order, 9_000).await;
    world.refund(order, 9_000).await;
    world.refund(order, 9_000).await;
    let rows = world.rows("one");
    let first = rows.claim(10).await.unwrap();
    assert_eq!(first.len(), 1, "three are due, one is the oldest");
    assert!(world.rows("two").claim(10).await.unwrap().is_empty(), "while it is under way");
    let refund = &first[0].payload["payment_cancel"]["refund_id"];
    assert_eq!(refund.as_str().unwrap(), refund_id.to_string());

    // A dead row holds back what comes after it: the amounts left depend on what became of it.
    rows.bury(&first[0], "test").await.unwrap();
    assert!(rows.claim(10).await.unwrap().is_empty());

    world.execute("update outbox set state = 'unknown' where state = 'dead'").await;
    let worker = world.worker();
    world.becomes(order, OrderStatus::Refunded).await;
    world.is_idle().await;
    let charge = &world.charges(order)[0];
    let amounts: Vec<i64> = charge.cancels.iter().map(|cancel| cancel.amount).collect();
    assert_eq!(amounts, [9_000, 9_000, 9_000]);
    worker.stop().await.unwrap();
}

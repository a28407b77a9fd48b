//! The effects of one order are carried out one at a time, in the order of its events.
//!
//! Without `not exists … earlier` in `relay/sql/claim.sql` (checked by deleting it) all three refunds
//! below are claimed at once, each with a guard that only fits when the one before is through.

use contracts::events::OrderKind;
use domain::order::{OrderStatus, RefundStage};
use kakaopay_sim::{Fault, FaultRule, FaultScript, Operation, When};
use processes::relay::rows::RowClass;

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
    let first = rows.claim(RowClass::Background, 10).await.unwrap();
    assert_eq!(first.len(), 1, "three are due, one is the oldest");
    assert!(
        world.rows("two").claim(RowClass::Background, 10).await.unwrap().is_empty(),
        "while it is under way"
    );
    let refund = &first[0].payload["payment_cancel"]["refund_id"];
    assert_eq!(refund.as_str().unwrap(), refund_id.to_string());

    // A dead row holds back what comes after it: the amounts left depend on what became of it.
    rows.bury(&first[0], "test").await.unwrap();
    assert!(rows.claim(RowClass::Background, 10).await.unwrap().is_empty());

    world.execute("update outbox set state = 'unknown' where state = 'dead'").await;
    let worker = world.worker();
    world.becomes(order, OrderStatus::Refunded).await;
    world.is_idle().await;
    let charge = &world.charges(order)[0];
    let amounts: Vec<i64> = charge.cancels.iter().map(|cancel| cancel.amount).collect();
    assert_eq!(amounts, [9_000, 9_000, 9_000]);
    worker.stop().await.unwrap();
}

/// Two refunds are asked for at once; KakaoPay refuses the first for good, so the second must go out
/// with the whole sum as its guard, and must be found by a look-up when its answer is lost. With the
/// guard computed when it was asked for (`refundable_before` of the effect instead of
/// `given_back_before` in `relay/deliver.rs`, checked by taking it) KakaoPay refuses it with -710,
/// the look-up finds nothing given back where 9,000 were expected, and the row dies.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_behind_a_refused_one_is_carried_out() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    world.is_idle().await;
    worker.stop().await.unwrap();

    let refused = world.refund(order, 9_000).await;
    world.refund(order, 18_000).await;
    let refusal = Fault::Decline {
        code: -781,
        message: None,
        method_result_code: Some("BANK_ACCOUNT_BLOCKED".to_owned()),
        method_result_message: None,
        status: 400,
    };
    world.sim.set_faults(FaultScript {
        seed: 0,
        rules: vec![
            FaultRule::new(Operation::Cancel, When::Call(1), refusal),
            FaultRule::new(Operation::Cancel, When::Call(2), Fault::CommitThenDrop),
        ],
    });
    let worker = world.worker();
    world.is_idle().await;

    let seen = world.becomes(order, OrderStatus::PartlyRefunded).await;
    assert!(matches!(seen.refund(refused).unwrap().stage, RefundStage::Failed { .. }));
    assert_eq!(world.charges(order)[0].cancelled, 18_000);
    worker.stop().await.unwrap();
}

/// A page moves no money. With a dead page holding back what comes after it (seen so) the attempt that
/// takes its place is never sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_payment_page_holds_back_nothing() {
    let world = World::new().await;
    let order = world.place(OrderKind::OneOff, false).await;
    world
        .execute(
            "update outbox set state = 'dead';
             insert into outbox (id, aggregate_type, aggregate_id, sequence, effect_index, kind,
                                 payload, correlation_id)
             select gen_random_uuid(), aggregate_type, aggregate_id, sequence + 2, 0, kind, payload,
                    correlation_id
             from   outbox",
        )
        .await;
    let claimed = world.rows("worker").claim(RowClass::Shopper, 10).await.unwrap();
    assert_eq!(claimed.len(), 1, "the later page of {order}");
}

//! An unknown outcome is sticky: a row whose call may have moved money ends by what a look-up
//! reports, whatever later calls were refused, and however old the row is.
//!
//! With `unknown` taken from the state that a row comes from, as it was (seen so), each of the first
//! two tests ends with money moved at the gateway and nothing of it in the log.

use processes::relay::rows::RowClass;
use std::time::Duration;

use contracts::OrderId;
use contracts::events::OrderKind;
use domain::order::RefundStage;
use kakaopay_sim::{Fault, FaultRule, FaultScript, Operation, When};
use testkit::eventually;

use crate::world::{PATIENCE, World};

/// The first call is carried out after the relay has given it up; every later call is certainly not
/// sent, for longer than an unsent effect is tried.
fn late_then_closed(operation: Operation) -> FaultScript {
    FaultScript {
        seed: 0,
        rules: vec![
            FaultRule::new(operation, When::Call(1), Fault::DelayThenCommit { ms: 3_000 }),
            FaultRule::new(operation, When::Always, Fault::Maintenance),
        ],
    }
}

async fn impatient_world() -> World {
    let mut world = World::new().await;
    world.config.gateway.connect_timeout = Duration::from_millis(300);
    world.config.gateway.call_timeout = Duration::from_millis(600);
    world.config.retries.approve_for = Duration::from_secs(1);
    world.config.retries.cancel_for = Duration::from_secs(1);
    world
}

async fn refunded(world: &World, order: OrderId) {
    eventually(PATIENCE, || async {
        let order = world.order(order).await;
        let is_back = |stage: &RefundStage| *stage == RefundStage::Succeeded;
        order.refunds.iter().all(|refund| is_back(&refund.stage)).then_some(())
    })
    .await;
}

/// F1: charged at the gateway, and the attempt ended as not sent.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_approval_never_ends_as_not_sent() {
    let world = impatient_world().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.page_of(order).await;
    world.sim.set_faults(late_then_closed(Operation::Approve));
    world.pay(order).await;
    world.is_paid_once(order).await;
    world.is_idle().await;
    worker.stop().await.unwrap();
}

/// F1 for refunds: the money went back, and the refund failed as not sent.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_refund_never_fails_as_not_sent() {
    let world = impatient_world().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    world.sim.set_faults(late_then_closed(Operation::Cancel));
    world.refund(order, 5_000).await;
    refunded(&world, order).await;
    world.is_idle().await;
    assert_eq!(world.charges(order)[0].cancelled, 5_000);
    worker.stop().await.unwrap();
}

/// F9: the gateway refuses with a code that says nothing, and nothing ever goes back. The calls end,
/// and the row waits for an operator.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_refused_without_a_reason_is_not_asked_for_without_end() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    let unclassified = Fault::Decline {
        code: -781,
        message: None,
        method_result_code: Some("6666".to_owned()),
        method_result_message: None,
        status: 400,
    };
    world.sim.set_faults(FaultScript::of(Operation::Cancel, When::Always, unclassified));
    world.refund(order, 5_000).await;
    eventually(PATIENCE, || async {
        let dead = world.number("select count(*) from outbox where state = 'dead'").await;
        (dead == 1).then_some(())
    })
    .await;
    assert_eq!(world.sim.ledger().calls(Operation::Cancel).arrived, 6, "one call and five repeats");
    let order = world.order(order).await;
    assert_eq!(order.refunds[0].stage, RefundStage::Pending, "only a look-up could end it");
    worker.stop().await.unwrap();
}

/// What an operator does about a row whose outcome is unknown leaves it unknown.
#[tokio::test(flavor = "multi_thread")]
async fn holding_and_releasing_a_row_keeps_its_outcome_unknown() {
    use processes::operator::{Intervention, Operator};

    let world = impatient_world().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.page_of(order).await;
    world.sim.set_faults(FaultScript {
        seed: 0,
        rules: vec![
            FaultRule::new(Operation::Approve, When::Call(1), Fault::CommitThenDrop),
            FaultRule::new(Operation::Order, When::Always, Fault::Fail { status: 500 }),
        ],
    });
    world.pay(order).await;
    eventually(PATIENCE, || async {
        (2 <= world.sim.ledger().calls(Operation::Order).arrived).then_some(())
    })
    .await;
    worker.stop().await.unwrap();
    let operator = Operator::new(world.db.pool.clone());
    let row = operator.list(None, 1).await.unwrap().remove(0);
    for what in [Intervention::Hold, Intervention::Release, Intervention::Retry] {
        operator.intervene(row.id, what, &crate::world::somebody()).await.unwrap();
    }
    let claimed = world.rows("reader").claim(RowClass::Shopper, 1).await.unwrap().remove(0);
    assert!(claimed.unknown_for.is_some(), "{claimed:?}");
    drop(claimed);
    world.leases_run_out().await;

    world.sim.clear_faults();
    let worker = world.worker();
    world.is_paid_once(order).await;
    assert_eq!(world.sim.ledger().calls(Operation::Approve).arrived, 1, "never called twice");
    worker.stop().await.unwrap();
}

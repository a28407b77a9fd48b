//! The net under every "no": what ended without money is looked up again, and what is found is
//! recorded, refunded and alarmed.

use chrono::TimeDelta;
use contracts::events::{DeclineClass, GatewayStep, OrderKind};
use contracts::{OrderId, Text};
use domain::order::{OrderCommand, OrderStatus, RefundStage};
use kakaopay_sim::{Fault, FaultScript, Operation, When};
use processes::operator::{Intervention, Operator};
use testkit::eventually;

use crate::reconciling::{charged_and_buried, compared, indexed, paid, reconciler};
use crate::world::{PATIENCE, World, clock, somebody};

/// The order gets a "no" that the gateway never gave.
async fn wrongly_declined(world: &World, order: OrderId) {
    world.execute("delete from outbox").await;
    let declined = OrderCommand::RecordDecline {
        attempt: 1,
        step: GatewayStep::Approve,
        class: DeclineClass::Soft,
        code: Text::parse("-781/6666").unwrap(),
        at: clock().now(),
    };
    world.send(order, declined).await;
}

/// F2.
#[tokio::test(flavor = "multi_thread")]
async fn an_ended_attempt_that_was_charged_is_found_recorded_and_refunded() {
    let world = World::new().await;
    let order = charged_and_buried(&world, OrderKind::OneOff).await;
    wrongly_declined(&world, order).await;
    let late = reconciler(&world, TimeDelta::minutes(17));
    late.update_index().await.unwrap();
    assert_eq!(late.look_up_ended().await.unwrap(), 1);

    let worker = world.worker();
    eventually(PATIENCE, || async { (world.charges(order)[0].cancelled == 27_000).then_some(()) })
        .await;
    world.is_idle().await;
    assert!(world.order(order).await.payment().is_some(), "what was charged is on record");
    worker.stop().await.unwrap();
}

/// F10.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_refund_that_went_through_is_given_back_to_the_relay() {
    let world = World::new().await;
    let order = refunded_and_buried(&world).await;
    world.execute("update outbox set state = 'dead', lease_owner = null, lease_until = null").await;
    let late = reconciler(&world, TimeDelta::minutes(62));
    assert_eq!(late.look_up_refunds().await.unwrap(), 1);
    let worker = world.worker();
    world.becomes(order, OrderStatus::PartlyRefunded).await;
    world.is_idle().await;
    assert_eq!(world.charges(order)[0].cancelled, 2_000);
    worker.stop().await.unwrap();
}

/// A refund went through, and the worker died before it had the answer.
async fn refunded_and_buried(world: &World) -> OrderId {
    let worker = world.worker();
    let order = paid(world).await;
    indexed(world, "approved", 1).await;
    let held = FaultScript::of(Operation::Cancel, When::Always, Fault::CommitThenHold);
    world.sim.set_faults(held);
    world.refund(order, 2_000).await;
    eventually(PATIENCE, || async { (world.charges(order)[0].cancelled == 2_000).then_some(()) })
        .await;
    world.reactions_catch_up().await;
    worker.kill().await;
    world.sim.clear_faults();
    order
}

/// F10: a refund on its way explains a difference for an hour and not for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_is_pending_for_hours_is_a_difference() {
    let world = World::new().await;
    let order = refunded_and_buried(&world).await;
    let (young, _) = compared(&world).await;
    assert_eq!((young.under_way, young.differing), (1, 0));
    let old = crate::reconciling::compared_at(&world, TimeDelta::minutes(61)).await;
    assert_eq!((old.0.under_way, old.0.differing), (0, 1), "{:?}", old.1);
    assert_eq!(old.1[0].order_id, order);
}

/// F18: what an operator holds between the look-up and the write stays held.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_held_while_it_is_looked_up_stays_held() {
    let world = World::new().await;
    charged_and_buried(&world, OrderKind::OneOff).await;
    world.execute("update outbox set state = 'dead', lease_owner = null, lease_until = null").await;
    let before = world.sim.calls(Operation::Order).arrived;
    let held = FaultScript::of(Operation::Order, When::Always, Fault::CommitThenHold);
    world.sim.set_faults(held);
    let late = reconciler(&world, TimeDelta::minutes(2));
    let looking = tokio::spawn(async move { late.look_up_pending().await });
    world.sim.calls_reach(Operation::Order, before + 1).await;
    let operator = Operator::new(world.db.pool.clone());
    let row = operator.list(None, 1).await.unwrap().remove(0).id;
    operator.intervene(row, Intervention::Hold, &somebody()).await.unwrap();
    world.sim.clear_faults();
    assert_eq!(looking.await.unwrap().unwrap(), 0);
    assert_eq!(operator.show(row).await.unwrap().unwrap().state, "held");
}

/// F18: an approval that is recorded without its row leaves the key missing, not absent.
#[tokio::test(flavor = "multi_thread")]
async fn a_recurring_approval_that_is_recorded_without_its_row_leaves_a_missing_key() {
    let world = World::new().await;
    let order = charged_and_buried(&world, OrderKind::Subscription).await;
    world.execute("delete from outbox").await;
    let late = reconciler(&world, TimeDelta::minutes(2));
    assert_eq!(late.look_up_pending().await.unwrap(), 1);
    world.is_paid_once(order).await;
    let missing = "select count(*) from billing_keys where state = 'missing'";
    assert_eq!(world.number(missing).await, 1);
}

/// F13: a refused refund that went through after all.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_refund_whose_money_went_back_is_recorded_in_the_following_night() {
    let world = World::new().await;
    let order = refunded_and_buried(&world).await;
    world.execute("delete from outbox").await;
    let refund_id = world.order(order).await.refunds[0].id;
    let refused = OrderCommand::RecordRefundFailure {
        refund_id,
        class: DeclineClass::Merchant,
        code: Text::parse("-401").unwrap(),
        at: clock().now(),
    };
    world.send(order, refused).await;
    let worker = world.worker();
    world.reactions_catch_up().await;
    worker.stop().await.unwrap();
    let night = reconciler(&world, TimeDelta::hours(26));
    assert_eq!(night.look_up_refunds().await.unwrap(), 1);
    assert!(matches!(world.order(order).await.refunds[0].stage, RefundStage::Succeeded));
}

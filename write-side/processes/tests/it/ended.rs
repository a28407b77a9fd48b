//! Attempts that ended without money here although the gateway had booked it: what an operator or the
//! gateway refunded there in full is no money; what is left of it is a difference.

use chrono::TimeDelta;
use contracts::OrderId;
use contracts::events::OrderKind;
use kakaopay_sim::{Fault, FaultScript, Operation, When};

use crate::nets::{catch_up, wrongly_declined};
use crate::reconciling::{charged_and_buried, indexed, reconciler, recorded, refunded_elsewhere};
use crate::world::World;

/// Charged, refunded on KakaoPay's own pages, and resolved as not done: the runbook's recipe for a
/// mismatch.
async fn cancelled_there(world: &World, amount: i64) -> OrderId {
    let order = charged_and_buried(world, OrderKind::OneOff).await;
    refunded_elsewhere(world, order, amount, 27_000).await;
    wrongly_declined(world, order).await;
    catch_up(world).await;
    order
}

async fn looked_up(world: &World, ahead: TimeDelta) {
    assert_eq!(reconciler(world, ahead).look_up_ended().await.unwrap(), 0);
}

/// Without the arm `RefundedInFull` (seen so) this is a difference that no later answer settles.
#[tokio::test(flavor = "multi_thread")]
async fn an_ended_attempt_whose_payment_was_refunded_there_in_full_is_closed() {
    let world = World::new().await;
    let order = cancelled_there(&world, 27_000).await;
    indexed(&world, "ended", 1).await;
    looked_up(&world, TimeDelta::minutes(17)).await;
    assert_eq!(recorded(&world).await, (0, 0), "no money, and no difference");
    indexed(&world, "ended", 0).await;
    assert!(world.order(order).await.payment().is_none());
}

/// Part of the money is still there: a difference until the rest went back as well.
#[tokio::test(flavor = "multi_thread")]
async fn an_ended_attempt_that_was_refunded_in_part_is_a_difference_until_the_rest_went_back() {
    let world = World::new().await;
    let order = cancelled_there(&world, 1_000).await;
    looked_up(&world, TimeDelta::minutes(17)).await;
    assert_eq!(recorded(&world).await, (1, 0));
    indexed(&world, "ended", 1).await;
    refunded_elsewhere(&world, order, 26_000, 26_000).await;
    looked_up(&world, TimeDelta::minutes(80)).await;
    assert_eq!(recorded(&world).await, (1, 1), "settled by the answer");
    indexed(&world, "ended", 0).await;
}

/// The order moves between being read and being told. With the refusal dropped (seen so) the alarm
/// comes when the claim ends, an hour later.
#[tokio::test(flavor = "multi_thread")]
async fn a_difference_about_an_order_that_moved_is_recorded_a_minute_later() {
    let world = World::new().await;
    let order = cancelled_there(&world, 1_000).await;
    let before = world.sim.calls(Operation::Order).arrived;
    let held = FaultScript::of(Operation::Order, When::Always, Fault::CommitThenHold);
    world.sim.set_faults(held);
    let late = reconciler(&world, TimeDelta::minutes(17));
    let looking = tokio::spawn(async move { late.look_up_ended().await });
    world.sim.calls_reach(Operation::Order, before + 1).await;
    // The shopper tries again.
    world.request_payment(order, OrderKind::OneOff).await;
    world.sim.clear_faults();
    assert_eq!(looking.await.unwrap().unwrap(), 0);
    assert_eq!(recorded(&world).await, (0, 0), "it moved");
    looked_up(&world, TimeDelta::minutes(19)).await;
    assert_eq!(recorded(&world).await, (1, 0));
}

//! An unknown outcome is sticky: a row whose call may have moved money ends by what a look-up
//! reports, whatever later calls were refused, and however old the row is.
//!
//! With `unknown` taken from the state that a row comes from, as it was (seen so), each of the first
//! two tests ends with money moved at the gateway and nothing of it in the log.

use processes::operator::{Intervention, Operator};
use processes::relay::rows::RowClass;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::OrderId;
use contracts::events::OrderKind;
use domain::order::RefundStage;
use kakaopay_sim::{Fault, FaultRule, FaultScript, Operation, When};
use service_kit::clock::{BoxFuture, Clock};
use testkit::eventually;

use crate::world::{PATIENCE, World, clock};

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

/// Each reading of one of its clocks is so much later than the one before.
#[derive(Debug)]
struct Leaping {
    wall: TimeDelta,
    monotonic: Duration,
    readings: AtomicU32,
}

impl Clock for Leaping {
    fn now(&self) -> DateTime<Utc> {
        let readings = self.readings.fetch_add(1, Ordering::Relaxed);
        clock().now() + self.wall * i32::try_from(readings).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.monotonic * self.readings.fetch_add(1, Ordering::Relaxed)
    }

    fn sleep(&self, _pause: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// F4: a worker that stood still between storing a request and sending it, by either clock, may have
/// lost the row to another one. Without the comparison in `relay/carry.rs` (seen so) it sends.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waited_too_long_is_not_sent() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    world.is_idle().await;
    worker.stop().await.unwrap();
    world.refund(order, 5_000).await;
    for (wall, monotonic) in [(11, 0), (0, 11)] {
        let time = Leaping {
            wall: TimeDelta::seconds(wall),
            monotonic: Duration::from_secs(monotonic),
            readings: AtomicU32::new(0),
        };
        let rows = world.rows("stood-still");
        let row = rows.claim(RowClass::Background, 1).await.unwrap().remove(0);
        let mut carrier = world.carrier(rows, world.gateway());
        carrier.clock = Arc::new(time);
        carrier.carry(row).await;
        assert_eq!(world.sim.ledger().calls(Operation::Cancel).arrived, 0);
        let certain = "select count(*) from outbox
                       where state = 'waiting' and unknown_since is null and request is null
                         and calls = 0 and attempt = 0";
        assert_eq!(world.number(certain).await, 1, "certainly not sent");
        world.execute("update outbox set not_before = clock_timestamp()").await;
    }
    let worker = world.worker();
    refunded(&world, order).await;
    worker.stop().await.unwrap();
}

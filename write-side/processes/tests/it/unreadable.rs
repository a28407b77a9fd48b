//! An order that this build cannot read (an event of a newer release, a damaged one) keeps no other
//! order from the nets: it is alarmed, put off, and the batch goes on.
//!
//! With its error ending the run (seen so) every test here fails: the same order is the first of every
//! later run, or takes a batch with it that is claimed for an hour.

use chrono::TimeDelta;
use contracts::OrderId;
use contracts::events::OrderKind;
use kakaopay_sim::{Fault, FaultScript, Operation, When};
use testkit::eventually;

use crate::nets::{ANSWERED, catch_up, declined};
use crate::reconciling::{compared, indexed, paid, reconciler};
use crate::world::{PATIENCE, World};

/// A newer release writes to the order.
async fn becomes_unreadable(world: &World, order: OrderId) {
    let newer = format!(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version,
                             payload, metadata)
         select 'order', '{order}', max(sequence) + 1, 'OfANewerRelease', '1', '{{}}', '{{}}'
         from   events where aggregate_id = '{order}'"
    );
    world.execute(&newer).await;
}

fn is_counted(net: &str) -> bool {
    let shown = service_kit::telemetry::metrics().render();
    let passed_over = shown.lines().filter(|it| it.starts_with("reconcile_passed_over_total{"));
    passed_over.filter(|it| it.contains(&format!(r#"net="{net}""#))).any(|it| !it.ends_with(" 0"))
}

/// Two payments that were charged, and nothing here will ever report it.
async fn charged_without_rows(world: &World) -> [OrderId; 2] {
    let worker = world.worker();
    let orders =
        [world.place(OrderKind::OneOff, false).await, world.place(OrderKind::OneOff, false).await];
    for order in orders {
        world.page_of(order).await;
    }
    let held = FaultScript::of(Operation::Approve, When::Always, Fault::CommitThenHold);
    world.sim.set_faults(held);
    for order in orders {
        world.pay(order).await;
        eventually(PATIENCE, || async { (world.charges(order).len() == 1).then_some(()) }).await;
    }
    indexed(world, "approving", 2).await;
    worker.kill().await;
    world.sim.clear_faults();
    world.execute("delete from outbox").await;
    orders
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_behind_an_unreadable_order_gets_its_outcome() {
    let world = World::new().await;
    let [unreadable, healthy] = charged_without_rows(&world).await;
    becomes_unreadable(&world, unreadable).await;
    // The first in line, now and in every later run.
    let first = format!(
        "update payment_index set not_before = not_before - interval '1 hour'
         where order_id = '{unreadable}'"
    );
    world.execute(&first).await;
    let late = reconciler(&world, TimeDelta::minutes(2));
    assert_eq!(late.look_up_pending().await.unwrap(), 1);
    world.is_paid_once(healthy).await;
    assert!(is_counted("pending"));
    let put_off = format!(
        "select count(*) from payment_index
         where order_id = '{unreadable}' and clock_timestamp() + interval '2 minutes' < not_before"
    );
    assert_eq!(world.number(&put_off).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_attempt_beside_an_unreadable_order_is_looked_up() {
    let world = World::new().await;
    let unreadable = declined(&world).await;
    declined(&world).await;
    becomes_unreadable(&world, unreadable).await;
    let late = reconciler(&world, TimeDelta::minutes(17));
    assert_eq!(late.look_up_ended().await.unwrap(), 0);
    assert_eq!(world.sim.calls(Operation::Order).arrived, 1);
    assert_eq!(world.number(ANSWERED).await, 1);
    assert!(is_counted("ended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_beside_an_unreadable_order_is_looked_up() {
    let world = World::new().await;
    let worker = world.worker();
    let orders = [paid(&world).await, paid(&world).await];
    world.is_idle().await;
    worker.stop().await.unwrap();
    for order in orders {
        world.refund(order, 2_000).await;
    }
    world.execute("delete from outbox").await;
    catch_up(&world).await;
    becomes_unreadable(&world, orders[0]).await;
    let late = reconciler(&world, TimeDelta::minutes(62));
    assert_eq!(late.look_up_refunds().await.unwrap(), 0);
    assert_eq!(world.sim.calls(Operation::Order).arrived, 1);
    assert_eq!(crate::reconciling::recorded(&world).await, (1, 0), "of the order that was read");
    assert!(is_counted("refunds"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_beside_an_unreadable_order_is_compared() {
    let world = World::new().await;
    let worker = world.worker();
    let orders = [paid(&world).await, paid(&world).await, paid(&world).await];
    indexed(&world, "approved", 3).await;
    worker.stop().await.unwrap();
    becomes_unreadable(&world, orders[0]).await;
    let (summary, seen) = compared(&world).await;
    assert_eq!((summary.same, seen.len()), (2, 2), "{seen:?}");
    assert!(!summary.is_clean(), "one was not compared");
    assert!(is_counted("comparison"));
}

//! Reporting a stored outcome to its order: whatever the database refuses meanwhile, the outcome is
//! reported later, and only what cannot be decoded ends the row.

use contracts::Text;
use contracts::events::OrderKind;
use domain::order::{OrderStatus, RefundStage, Stage};
use domain::{Effect, Settlement};
use kakaopay_sim::{Fault, FaultScript, Operation, When};
use processes::operator::{Intervention, Operator, OperatorError};
use processes::relay::deliver::{Delivery, Task, Told};
use processes::relay::rows::RowClass;
use testkit::eventually;

use crate::world::{PATIENCE, World, clock, somebody};

/// F8: with every SQLSTATE that isn't ours taken for hopeless (seen so), the row is dead with the
/// refund's success stored in it, and the refund stays pending.
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_the_database_refuses_today_is_reported_later() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    world.is_idle().await;
    let held = FaultScript::of(Operation::Cancel, When::Always, Fault::CommitThenHold);
    world.sim.set_faults(held);
    world.refund(order, 5_000).await;
    eventually(PATIENCE, || async { (world.charges(order)[0].cancelled == 5_000).then_some(()) })
        .await;
    // A full disk, as the log sees it; the outbox still has room on its pages.
    world
        .execute(
            "create sequence refused_events;
             create function refuse_event() returns trigger language plpgsql security definer as $$
             begin
               perform nextval('public.refused_events');
               raise exception 'no space left' using errcode = '53100';
             end $$;
             create trigger refuse before insert on events
               for each row execute function refuse_event()",
        )
        .await;
    world.sim.clear_faults();
    eventually(PATIENCE, || async {
        let refused = world.number("select last_value from refused_events").await;
        (4 <= refused).then_some(())
    })
    .await;
    world.execute("drop trigger refuse on events").await;
    eventually(PATIENCE, || async {
        let order = world.order(order).await;
        (order.refunds[0].stage == RefundStage::Succeeded).then_some(())
    })
    .await;
    world.is_idle().await;
    worker.stop().await.unwrap();
}

/// F7: a row that died with the gateway's yes in it.
async fn dead_with(world: &World, outcome: &Settlement) -> uuid::Uuid {
    let json = serde_json::to_string(outcome).unwrap();
    world
        .execute(&format!(
            "update outbox
             set    state = 'dead', outcome = '{json}', request = '{{}}', lease_owner = null,
                    lease_until = null"
        ))
        .await;
    Operator::new(world.db.pool.clone()).list(None, 1).await.unwrap().remove(0).id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_cannot_resolve_against_a_stored_outcome_and_a_retry_reports_it() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    world.is_idle().await;
    worker.stop().await.unwrap();
    world.refund(order, 5_000).await;
    let aid = None;
    let given_back =
        Settlement::GivenBack { aid, amount: crate::world::won(5_000), refunded_at: clock().now() };
    let row = dead_with(&world, &given_back).await;

    let operator = Operator::new(world.db.pool.clone());
    let not_done = Intervention::ResolveAsNotDone { at: clock().now() };
    let refused = operator.intervene(row, not_done, &somebody()).await;
    assert!(matches!(refused, Err(OperatorError::Contradicted { .. })), "{refused:?}");
    operator.intervene(row, Intervention::Retry, &somebody()).await.unwrap();
    let calls = world.sim.ledger().calls(Operation::Cancel).arrived;
    let worker = world.worker();
    world.becomes(order, OrderStatus::PartlyRefunded).await;
    world.is_idle().await;
    assert_eq!(world.sim.ledger().calls(Operation::Cancel).arrived, calls, "nothing was called");
    worker.stop().await.unwrap();
}

/// A row that was given up for want of an answer is retried by an operator, and the answer is another
/// payment's. With the receipt under the settlement's name alone (seen so) the second report counts as
/// the first one repeated, and the order never learns of the mismatch.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_unresolved_for_another_reason_is_reported_again() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    let token = world.press_approve(order).await;
    world.is_idle().await;
    worker.stop().await.unwrap();
    world.come_back(order, token).await;
    let mut rows = world.rows("worker").claim(RowClass::Shopper, 1).await.unwrap();
    let row = rows.pop().expect("the approval");
    let effect: Effect = serde_json::from_value(row.payload.clone()).unwrap();
    let delivery = Delivery::new(world.orders.clone());
    for reason in ["look_up_failed", "mismatch", "mismatch"] {
        let reason = Text::parse(reason).unwrap();
        let unresolved = Settlement::Unresolved { reason, at: clock().now() };
        let told =
            delivery.tell(Task { row: &row, order, effect: &effect }, &unresolved, clock().now());
        assert!(matches!(told.await, Told::Recorded));
    }
    let placed = world.order(order).await;
    let Stage::Unresolved { reason, .. } = &placed.attempts[0].stage else { panic!("{placed:?}") };
    assert_eq!(reason.as_str(), "mismatch");
    let events = "select count(*) from events where event_type = 'PaymentUnresolved'";
    assert_eq!(world.number(events).await, 2, "each reason once");
}

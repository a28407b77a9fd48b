//! Our books against the gateway's: what differs is found, kept and told, and what nobody works on
//! gets its outcome. No test here moves money by reconciling: the simulator counts the calls.

use chrono::TimeDelta;
use contracts::OrderId;
use contracts::events::OrderKind;
use domain::order::OrderStatus;
use kakaopay_sim::{Fault, FaultScript, Operation, When};
use processes::reconcile::{Compared, Pace, Reconciler, Span, Summary, Verdict, open_differences};
use service_kit::clock::ManualClock;
use service_kit::shutdown::Shutdown;
use testkit::eventually;

use crate::world::{PATIENCE, World, clock};

/// As of `ahead` from now; pauses are the clock's, so there are none to speak of.
fn reconciler(world: &World, ahead: TimeDelta) -> Reconciler {
    Reconciler {
        pool: world.db.pool.clone(),
        orders: world.orders.clone(),
        gateway: world.gateway(),
        clock: ManualClock::at(clock().now() + ahead).shared(),
        pace: Pace { pause: std::time::Duration::ZERO, page: 2, ..Pace::default() },
        shutdown: Shutdown::never(),
    }
}

async fn compared(world: &World) -> (Summary, Vec<Compared>) {
    let reconciler = reconciler(world, TimeDelta::zero());
    let now = clock().now();
    let span = Span { from: now - TimeDelta::days(1), to: now + TimeDelta::days(1) };
    let mut seen = Vec::new();
    let summary = reconciler.compare(span, |compared| seen.push(compared.clone())).await.unwrap();
    (summary, seen)
}

async fn indexed(world: &World, state: &str, rows: i64) {
    let sql = format!("select count(*) from payment_index where state = '{state}'");
    eventually(PATIENCE, || async { (world.number(&sql).await == rows).then_some(()) }).await;
}

async fn paid(world: &World) -> OrderId {
    let order = world.place(OrderKind::OneOff, false).await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn books_that_agree_are_told_side_by_side() {
    let world = World::new().await;
    let worker = world.worker();
    let (whole, part) = (paid(&world).await, paid(&world).await);
    paid(&world).await;
    world.refund(whole, 27_000).await;
    world.refund(part, 1_000).await;
    world.becomes(whole, OrderStatus::Refunded).await;
    world.becomes(part, OrderStatus::PartlyRefunded).await;
    indexed(&world, "approved", 3).await;

    let (summary, seen) = compared(&world).await;
    assert_eq!(summary, Summary { same: 3, ..Summary::default() }, "{seen:?}");
    assert!(summary.is_clean());
    for compared in &seen {
        assert_eq!(compared.theirs.as_ref(), Some(&compared.ours));
    }
    let of_part = seen.iter().find(|it| it.order_id == part).unwrap();
    assert_eq!((of_part.ours.amount, of_part.ours.cancelled), (27_000, 1_000));
    assert_eq!(of_part.ours.status, "PARTLY_REFUNDED");
    assert_eq!(world.number("select count(*) from reconciliation_difference").await, 0);

    let now = clock().now();
    let span = Span { from: now - TimeDelta::days(7), to: now + TimeDelta::days(1) };
    let sample = reconciler(&world, TimeDelta::zero()).compare_sample(span, 2).await.unwrap();
    assert_eq!((sample.same, sample.total()), (2, 2));
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn money_given_back_elsewhere_is_a_difference_until_it_is_gone() {
    let world = World::new().await;
    let worker = world.worker();
    let (odd, even) = (paid(&world).await, paid(&world).await);
    indexed(&world, "approved", 2).await;
    worker.stop().await.unwrap();

    // Somebody gives money back on KakaoPay's own pages: the shop hears nothing of it.
    let order = world.order(odd).await;
    let attempt = order.latest_attempt().unwrap();
    let request = processes::gateway::CancelRequest {
        payment: processes::gateway::PaymentQuestion {
            terms: order.terms(attempt),
            payment_ref: attempt.page.as_ref().unwrap().tid.clone(),
            correlation_id: "elsewhere".to_owned(),
        },
        amount: crate::world::won(5_000),
        tax_free: crate::world::won(0),
        refundable_before: crate::world::won(27_000),
    };
    let given_back = world.gateway().cancel(&request).await;
    assert_eq!(given_back.name(), "done");

    let (summary, seen) = compared(&world).await;
    assert_eq!((summary.same, summary.differing), (1, 1), "{seen:?}");
    assert!(!summary.is_clean());
    let found = seen.iter().find(|it| it.order_id == odd).unwrap();
    assert_eq!(found.verdict, Verdict::Differs);
    let kinds: Vec<_> = found.differences.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, ["cancelled", "status"]);
    assert_eq!(seen.iter().find(|it| it.order_id == even).unwrap().verdict, Verdict::Same);

    // Found again, it is counted and not doubled.
    compared(&world).await;
    let open = open_differences(&world.db.pool, 10).await.unwrap();
    assert_eq!(open.len(), 2);
    assert_eq!((open[0].order_id, open[0].times), (odd, 2));
    let cancelled = open.iter().find(|it| it.kind == "cancelled").unwrap();
    assert_eq!((cancelled.ours.as_str(), cancelled.theirs.as_str()), ("0", "5000"));

    // A difference that is gone is settled and kept.
    world
        .execute("update reconciliation_difference set kind = 'amount' where kind = 'status'")
        .await;
    compared(&world).await;
    let open = open_differences(&world.db.pool, 10).await.unwrap();
    assert!(open.iter().all(|it| it.kind != "amount"), "{open:?}");
    assert_eq!(world.number("select count(*) from reconciliation_difference").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_does_not_answer_is_no_agreement() {
    let world = World::new().await;
    let worker = world.worker();
    paid(&world).await;
    indexed(&world, "approved", 1).await;
    let lost = FaultScript::of(Operation::Order, When::Always, Fault::CommitThen500);
    world.sim.set_faults(lost);
    let (summary, seen) = compared(&world).await;
    assert_eq!((summary.unanswered, summary.total()), (1, 1), "{seen:?}");
    assert!(!summary.is_clean());
    assert_eq!(world.number("select count(*) from reconciliation_difference").await, 0);
    worker.stop().await.unwrap();
}

/// The relay died for good after the gateway's yes: charged there, nothing here.
async fn charged_and_buried(world: &World) -> OrderId {
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.page_of(order).await;
    let held = FaultScript::of(Operation::Approve, When::Always, Fault::CommitThenHold);
    world.sim.set_faults(held);
    world.pay(order).await;
    eventually(PATIENCE, || async { (world.charges(order).len() == 1).then_some(()) }).await;
    indexed(world, "approving", 1).await;
    worker.kill();
    world.sim.clear_faults();
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_row_died_is_given_back_to_the_relay() {
    let world = World::new().await;
    let order = charged_and_buried(&world).await;
    world.execute("update outbox set state = 'dead', lease_owner = null").await;
    let early = reconciler(&world, TimeDelta::zero());
    assert_eq!(early.look_up_pending().await.unwrap(), 0, "a minute has not passed");
    let late = reconciler(&world, TimeDelta::minutes(2));
    assert_eq!(late.look_up_pending().await.unwrap(), 1);
    assert_eq!(late.look_up_pending().await.unwrap(), 0, "not asked again at once");

    let worker = world.worker();
    world.is_paid_once(order).await;
    world.is_idle().await;
    indexed(&world, "approved", 1).await;
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_without_a_row_gets_its_outcome_too() {
    let world = World::new().await;
    let order = charged_and_buried(&world).await;
    world.execute("delete from outbox").await;
    let late = reconciler(&world, TimeDelta::minutes(2));
    assert_eq!(late.look_up_pending().await.unwrap(), 1);
    world.is_paid_once(order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_under_way_or_held_is_left_alone() {
    let world = World::new().await;
    let order = charged_and_buried(&world).await;
    let calls = world.sim.calls(Operation::Order).arrived;
    for state in ["unknown", "held"] {
        world.execute(&format!("update outbox set state = '{state}', lease_owner = null")).await;
        let late = reconciler(&world, TimeDelta::hours(3));
        assert_eq!(late.look_up_pending().await.unwrap(), 0, "{state}");
        world.execute("update payment_index set not_before = since").await;
    }
    assert_eq!(world.sim.calls(Operation::Order).arrived, calls, "nobody asked");
    assert_ne!(world.order(order).await.status(), OrderStatus::Paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_moves_while_it_is_compared_is_no_difference() {
    let world = World::new().await;
    let worker = world.worker();
    let order = paid(&world).await;
    indexed(&world, "approved", 1).await;
    // The refund happened there and its answer is held back: more is gone there than here.
    let held = FaultScript::of(Operation::Cancel, When::Always, Fault::CommitThenHold);
    world.sim.set_faults(held);
    world.refund(order, 2_000).await;
    eventually(PATIENCE, || async { (world.charges(order)[0].cancelled == 2_000).then_some(()) })
        .await;
    let (summary, seen) = compared(&world).await;
    assert_eq!((summary.under_way, summary.total()), (1, 1), "{seen:?}");
    worker.kill();
}

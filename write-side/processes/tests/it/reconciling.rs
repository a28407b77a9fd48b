//! Our books against the gateway's: what differs is found, recorded once and told, and what nobody
//! works on gets its outcome. No test here moves money by reconciling: the simulator counts the
//! calls.

use chrono::TimeDelta;
use contracts::events::{DeclineClass, DifferenceKind, GatewayStep, OrderKind};
use contracts::{OrderId, Text};
use domain::order::{OrderCommand, OrderStatus};
use kakaopay_sim::{Fault, FaultScript, Operation, When};
use processes::gateway::Admission;
use processes::operator::{OpenDifference, Operator};
use processes::reconcile::{Compared, Pace, Reconciler, Span, Summary, Verdict};
use service_kit::clock::ManualClock;
use service_kit::shutdown::Shutdown;
use testkit::eventually;

use crate::world::{PATIENCE, World, clock};

/// As of `ahead` from now; pauses are the clock's, so there are none to speak of.
pub(crate) fn reconciler(world: &World, ahead: TimeDelta) -> Reconciler {
    Reconciler {
        pool: world.db.pool.clone(),
        orders: world.orders.clone(),
        gateway: world.gateway(),
        clock: ManualClock::at(clock().now() + ahead).shared(),
        pace: Pace { pause: std::time::Duration::ZERO, page: 2, ..Pace::default() },
        shutdown: Shutdown::never(),
    }
}

pub(crate) async fn compared(world: &World) -> (Summary, Vec<Compared>) {
    compared_at(world, TimeDelta::zero()).await
}

pub(crate) async fn compared_at(world: &World, ahead: TimeDelta) -> (Summary, Vec<Compared>) {
    let reconciler = reconciler(world, ahead);
    let now = clock().now();
    let span = Span { from: now - TimeDelta::days(1), to: now + TimeDelta::days(1) };
    let mut seen = Vec::new();
    let summary = reconciler.compare(span, |compared| seen.push(compared.clone())).await.unwrap();
    (summary, seen)
}

pub(crate) async fn indexed(world: &World, state: &str, rows: i64) {
    let sql = format!("select count(*) from payment_index where state = '{state}'");
    eventually(PATIENCE, || async { (world.number(&sql).await == rows).then_some(()) }).await;
}

/// How many differences were recorded, and how many settled.
pub(crate) async fn recorded(world: &World) -> (i64, i64) {
    let count = async |name| {
        world.number(&format!("select count(*) from events where event_type = '{name}'")).await
    };
    (count("PaymentDifferenceFound").await, count("PaymentDifferenceSettled").await)
}

/// What operators see, once that many are open.
async fn open(world: &World, many: usize) -> Vec<OpenDifference> {
    let operator = Operator::new(world.db.pool.clone());
    eventually(PATIENCE, || async {
        let open = operator.differences(10).await.unwrap();
        (open.len() == many).then_some(open)
    })
    .await
}

pub(crate) async fn paid(world: &World) -> OrderId {
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
    assert_eq!(recorded(&world).await, (0, 0), "books that agree are no event");

    let now = clock().now();
    let span = Span { from: now - TimeDelta::days(7), to: now + TimeDelta::days(1) };
    let sample = reconciler(&world, TimeDelta::zero()).compare_sample(span, 2).await.unwrap();
    assert_eq!((sample.same, sample.total()), (2, 2));
    worker.stop().await.unwrap();
}

/// Somebody gives money back on KakaoPay's own pages: the shop hears nothing of it.
pub(crate) async fn refunded_elsewhere(world: &World, order_id: OrderId, amount: i64, before: i64) {
    let order = world.order(order_id).await;
    let attempt = order.latest_attempt().unwrap();
    let request = processes::gateway::CancelRequest {
        payment: processes::gateway::PaymentQuestion {
            terms: order.terms(attempt),
            payment_ref: attempt.page.as_ref().unwrap().tid.clone(),
            correlation_id: "elsewhere".to_owned(),
        },
        amount: crate::world::won(amount),
        tax_free: crate::world::won(0),
        refundable_before: crate::world::won(before),
        tax_free_before: crate::world::won(0),
    };
    let given_back = world.gateway().cancel(&request, Admission::pending()).await;
    assert_eq!(given_back.name(), "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn money_given_back_elsewhere_is_a_difference_until_it_is_gone() {
    let world = World::new().await;
    let worker = world.worker();
    let (odd, even) = (paid(&world).await, paid(&world).await);
    indexed(&world, "approved", 2).await;
    refunded_elsewhere(&world, odd, 5_000, 27_000).await;

    let (summary, seen) = compared(&world).await;
    assert_eq!((summary.same, summary.differing), (1, 1), "{seen:?}");
    assert!(!summary.is_clean());
    let found = seen.iter().find(|it| it.order_id == odd).unwrap();
    assert_eq!(found.verdict, Verdict::Differs);
    let kinds: Vec<_> = found.differences.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [DifferenceKind::Cancelled, DifferenceKind::Status]);
    assert_eq!(seen.iter().find(|it| it.order_id == even).unwrap().verdict, Verdict::Same);
    assert_eq!(recorded(&world).await, (2, 0));
    let sides = |open: &[OpenDifference]| {
        let cancelled = open.iter().find(|it| it.kind == "cancelled").unwrap();
        (cancelled.order_id, cancelled.ours.clone(), cancelled.theirs.clone())
    };
    assert_eq!(sides(&open(&world, 2).await), (odd, "0".to_owned(), "5000".to_owned()));

    // Found again it is no news: not in the log, and so not in the alarms.
    let (again, _) = compared(&world).await;
    assert_eq!(again.differing, 1);
    assert_eq!(recorded(&world).await, (2, 0));

    // More of it is.
    refunded_elsewhere(&world, odd, 1_000, 22_000).await;
    compared(&world).await;
    assert_eq!(recorded(&world).await, (3, 0), "the status is still the same");
    eventually(PATIENCE, || async { (sides(&open(&world, 2).await).2 == "6000").then_some(()) })
        .await;

    // Somebody books it here too: gone, settled, and kept.
    worker.stop().await.unwrap();
    let refund_id = world.refund(odd, 6_000).await;
    let now = clock().now();
    let booked = OrderCommand::RecordRefund {
        refund_id,
        aid: None,
        amount: crate::world::won(6_000),
        refunded_at: now,
        at: now,
    };
    world.send(odd, booked).await;
    world.execute("delete from outbox").await;
    let (summary, seen) = compared(&world).await;
    assert_eq!((summary.same, summary.differing), (2, 0), "{seen:?}");
    assert_eq!(recorded(&world).await, (3, 2));
    compared(&world).await;
    assert_eq!(recorded(&world).await, (3, 2));
    let worker = world.worker();
    open(&world, 0).await;
    assert_eq!(world.number("select count(*) from payment_difference").await, 2);
    let of_even = format!(
        "select count(*) from events where event_type like 'PaymentDifference%'
         and aggregate_id <> '{odd}'"
    );
    assert_eq!(world.number(&of_even).await, 0, "nothing was said about the other order");
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_night_what_is_open_is_compared_again_however_old_it_is() {
    let world = World::new().await;
    let worker = world.worker();
    let (odd, _even) = (paid(&world).await, paid(&world).await);
    indexed(&world, "approved", 2).await;
    refunded_elsewhere(&world, odd, 5_000, 27_000).await;
    compared(&world).await;
    open(&world, 2).await;
    let now = clock().now();
    let next_week = Span { from: now + TimeDelta::days(1), to: now + TimeDelta::days(7) };
    let night = reconciler(&world, TimeDelta::zero()).compare_sample(next_week, 10).await.unwrap();
    assert_eq!(night, Summary { differing: 1, ..Summary::default() });
    assert_eq!(recorded(&world).await, (2, 0));
    worker.stop().await.unwrap();
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
    assert!(seen[0].unanswered.is_some() && seen[0].differences.is_empty(), "{seen:?}");
    assert_eq!(recorded(&world).await, (0, 0));
    worker.stop().await.unwrap();
}

/// The relay died for good after the gateway's yes: charged there, nothing here.
pub(crate) async fn charged_and_buried(world: &World, kind: OrderKind) -> OrderId {
    let worker = world.worker();
    let order = world.place(kind, false).await;
    world.page_of(order).await;
    let held = FaultScript::of(Operation::Approve, When::Always, Fault::CommitThenHold);
    world.sim.set_faults(held);
    world.pay(order).await;
    eventually(PATIENCE, || async { (world.charges(order).len() == 1).then_some(()) }).await;
    indexed(world, "approving", 1).await;
    worker.kill().await;
    world.sim.clear_faults();
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_row_died_is_given_back_to_the_relay() {
    let world = World::new().await;
    let order = charged_and_buried(&world, OrderKind::OneOff).await;
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
    let order = charged_and_buried(&world, OrderKind::OneOff).await;
    world.execute("delete from outbox").await;
    let late = reconciler(&world, TimeDelta::minutes(2));
    assert_eq!(late.look_up_pending().await.unwrap(), 1);
    world.is_paid_once(order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_cannot_be_found_out_about_is_a_difference_until_its_outcome() {
    let world = World::new().await;
    let order = charged_and_buried(&world, OrderKind::OneOff).await;
    world.execute("delete from outbox").await;
    refunded_elsewhere(&world, order, 1_000, 27_000).await;
    let late = reconciler(&world, TimeDelta::minutes(2));
    for _again in 0..2 {
        assert_eq!(late.look_up_pending().await.unwrap(), 0);
        assert_eq!(recorded(&world).await, (1, 0), "found again, it is no news");
        world.execute("update payment_index set not_before = since").await;
    }
    let declined = OrderCommand::RecordDecline {
        attempt: 1,
        step: GatewayStep::Approve,
        class: DeclineClass::Merchant,
        code: Text::parse("resolved_by_operator").unwrap(),
        at: clock().now(),
    };
    world.send(order, declined).await;
    assert_eq!(recorded(&world).await, (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_under_way_or_held_is_left_alone() {
    let world = World::new().await;
    let order = charged_and_buried(&world, OrderKind::OneOff).await;
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
    assert_eq!(recorded(&world).await, (0, 0));
    worker.kill().await;
}

//! `worker outbox resolve ROW --not-done` asks KakaoPay first, and an attempt that an operator ended
//! stays in the net. Without the look-up (seen so) each refused case here exits with 0: the order is
//! declined although it was charged, or the refund fails although it went through.

use std::process::Command;

use chrono::TimeDelta;
use contracts::OrderId;
use contracts::events::OrderKind;
use domain::order::{OrderStatus, RefundStage};
use kakaopay_sim::{Fault, FaultRule, FaultScript, Operation, When};
use processes::operator::{Intervention, Operator};
use serde_json::json;
use testkit::eventually;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::nets::{catch_up, refunded_and_buried};
use crate::reconciling::{indexed, paid, reconciler, recorded, refunded_elsewhere};
use crate::world::{MASTER_KEY, PATIENCE, World, clock, somebody};

/// `worker outbox resolve ROW --not-done`: the exit code and standard error.
async fn resolve(world: &World) -> (Option<i32>, String) {
    let row = only_row(world).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command
        .args(["outbox", "resolve", &row.to_string(), "--not-done", "--as", "test"])
        .env_clear()
        .env("DATABASE_URL", world.config.database_url.expose())
        .env("KAKAOPAY_BASE_URL", world.config.kakaopay_base_url.as_str())
        .env("KAKAOPAY_SECRET_KEY", "DEV-test")
        .env("PUBLIC_BASE_URL", "http://127.0.0.1:8080")
        .env("RETURN_URL_KEY", "return key of the tests, 32 bytes or more")
        .env("DIGEST_PEPPER", "pepper of the tests, 32 bytes or more")
        .env("MASTER_KEY", MASTER_KEY);
    let output = spawn_blocking(move || command.output()).await.unwrap().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

async fn is_refused(world: &World, parts: &[&str]) {
    let before = world.sim.calls(Operation::Order).arrived;
    let (code, error) = resolve(world).await;
    assert_eq!(code, Some(1), "{error}");
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    assert_eq!(world.sim.calls(Operation::Order).arrived, before + 1, "one look-up");
    assert_eq!(world.number("select count(*) from outbox where state = 'dead'").await, 1);
    assert_eq!(world.number("select count(*) from outbox_intervention").await, 0);
}

async fn is_resolved(world: &World) {
    let (code, error) = resolve(world).await;
    assert_eq!(code, Some(0), "{error}");
    let by = "select count(*) from outbox_intervention where actor->>'system' = 'operator test'";
    assert_eq!(world.number(by).await, 1);
}

async fn only_row(world: &World) -> Uuid {
    Operator::new(world.db.pool.clone()).list(None, 1).await.unwrap().remove(0).id
}

/// What the administrators' API does: it has no way to the gateway.
async fn resolve_unasked(world: &World, order: OrderId) {
    let operator = Operator::new(world.db.pool.clone());
    let not_done = Intervention::ResolveAsNotDone { at: clock().now() };
    operator.intervene(only_row(world).await, not_done, &somebody()).await.unwrap();
    is_declined(world, order).await;
}

async fn is_declined(world: &World, order: OrderId) {
    let worker = world.worker();
    world.becomes(order, OrderStatus::Declined).await;
    world.is_idle().await;
    world.reactions_catch_up().await;
    worker.stop().await.unwrap();
}

/// Charged with other sums than ours, says KakaoPay's answer to these operations; the row waits for an
/// operator.
async fn mismatched(world: &World, operations: &[Operation]) -> OrderId {
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.page_of(order).await;
    let altered = || Fault::AlterAnswer { patch: json!({ "amount": { "vat": 1 } }) };
    let rule = |operation: &Operation| FaultRule::new(*operation, When::Always, altered());
    world.sim.set_faults(FaultScript { seed: 0, rules: operations.iter().map(rule).collect() });
    world.pay(order).await;
    world.becomes(order, OrderStatus::Unresolved).await;
    let dead = "select count(*) from outbox where state = 'dead'";
    eventually(PATIENCE, || async { (world.number(dead).await == 1).then_some(()) }).await;
    world.reactions_catch_up().await;
    worker.stop().await.unwrap();
    order
}

const BOTH: [Operation; 2] = [Operation::Approve, Operation::Order];

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_of_other_sums_is_resolved_only_after_it_was_cancelled_there() {
    let world = World::new().await;
    let order = mismatched(&world, &BOTH).await;
    is_refused(&world, &["outbox.contradicted: ", "amount.vat"]).await;
    assert_eq!(world.order(order).await.status(), OrderStatus::Unresolved);

    refunded_elsewhere(&world, order, 1_000, 27_000).await;
    is_refused(&world, &["outbox.contradicted: "]).await;
    refunded_elsewhere(&world, order, 26_000, 26_000).await;
    is_resolved(&world).await;
    is_declined(&world, order).await;
    assert_eq!(reconciler(&world, TimeDelta::minutes(17)).look_up_ended().await.unwrap(), 0);
    assert_eq!(recorded(&world).await, (0, 0), "no money is left there");
    indexed(&world, "ended", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_was_taken_is_not_resolved_and_a_retry_records_it() {
    let world = World::new().await;
    let order = mismatched(&world, &[Operation::Approve]).await;
    is_refused(&world, &["outbox.contradicted: ", "was paid: 27000 won", "retry"]).await;
    let operator = Operator::new(world.db.pool.clone());
    operator.intervene(only_row(&world).await, Intervention::Retry, &somebody()).await.unwrap();
    let worker = world.worker();
    world.is_paid_once(order).await;
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_resolves_nothing() {
    let world = World::new().await;
    mismatched(&world, &[Operation::Approve]).await;
    for fault in [Fault::Fail { status: 500 }, Fault::Maintenance, Fault::CommitThenDrop] {
        world.sim.set_faults(FaultScript::of(Operation::Order, When::Always, fault));
        is_refused(&world, &["outbox.unanswered: "]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_resolved_once_its_page_is_over() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    let token = world.press_approve(order).await;
    world.is_idle().await;
    worker.stop().await.unwrap();
    world.come_back(order, token).await;
    world.execute("update outbox set state = 'dead', request = '{}'").await;
    is_refused(&world, &["outbox.unanswered: ", "its page is still open"]).await;

    world.execute("update outbox set created_at = created_at - interval '17 minutes'").await;
    is_resolved(&world).await;
    is_declined(&world, order).await;
    assert!(world.charges(order).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_went_through_is_not_resolved() {
    let world = World::new().await;
    let order = refunded_and_buried(&world).await;
    world.execute("update outbox set state = 'dead', lease_owner = null, lease_until = null").await;
    is_refused(&world, &["outbox.contradicted: ", "2000 won of payment", "retry"]).await;
    assert!(matches!(world.order(order).await.refunds[0].stage, RefundStage::Pending));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_resolved_once_its_call_cannot_be_under_way() {
    let world = World::new().await;
    let worker = world.worker();
    let order = paid(&world).await;
    world.is_idle().await;
    worker.stop().await.unwrap();
    world.refund(order, 2_000).await;
    world
        .execute(
            "update outbox set state = 'dead', request = '{}', requested_at = clock_timestamp()",
        )
        .await;
    is_refused(&world, &["outbox.unanswered: ", "may be under way"]).await;

    world.execute("update outbox set requested_at = requested_at - interval '1 minute'").await;
    is_resolved(&world).await;
    let worker = world.worker();
    world.is_idle().await;
    assert!(matches!(world.order(order).await.refunds[0].stage, RefundStage::Failed { .. }));
    worker.stop().await.unwrap();
}

/// With the mismatch taken for silence (seen so) nothing is recorded for a week.
#[tokio::test(flavor = "multi_thread")]
async fn a_resolved_attempt_of_other_sums_is_a_difference_at_its_first_look_up() {
    let world = World::new().await;
    let order = mismatched(&world, &BOTH).await;
    resolve_unasked(&world, order).await;
    indexed(&world, "ended", 1).await;
    let at = |ahead| {
        let reconciler = reconciler(&world, ahead);
        async move { reconciler.look_up_ended().await.unwrap() }
    };
    assert_eq!(at(TimeDelta::minutes(17)).await, 0);
    assert_eq!(recorded(&world).await, (1, 0), "recorded and alarmed, never believed");
    indexed(&world, "ended", 1).await;

    refunded_elsewhere(&world, order, 27_000, 27_000).await;
    assert_eq!(at(TimeDelta::minutes(80)).await, 0);
    assert_eq!(recorded(&world).await, (1, 1));
    indexed(&world, "ended", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolved_attempt_that_was_charged_is_found_recorded_and_refunded() {
    let world = World::new().await;
    let order = mismatched(&world, &[Operation::Approve]).await;
    resolve_unasked(&world, order).await;
    let late = reconciler(&world, TimeDelta::minutes(17));
    assert_eq!(late.look_up_ended().await.unwrap(), 1);
    catch_up(&world).await;
    let worker = world.worker();
    eventually(PATIENCE, || async { (world.charges(order)[0].cancelled == 27_000).then_some(()) })
        .await;
    worker.stop().await.unwrap();
}

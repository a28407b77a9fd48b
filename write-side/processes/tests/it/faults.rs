//! Every fault of the gateway that the simulator can play: the order becomes what it has to become,
//! and KakaoPay's ledger shows the money moved once, or not at all.
//!
//! Without `unknown_for` in `relay/rows.rs` (checked by setting it to none) every test here with a
//! lost answer fails: the approval is repeated, and refused with -702 for ever.

use std::time::Duration;

use contracts::events::{DeclineClass, OrderKind};
use domain::order::{OrderStatus, RefundStage, Stage};
use kakaopay_sim::{ClockChange, Fault, FaultRule, FaultScript, Operation, When};
use serde_json::json;
use testkit::eventually;

use crate::world::{PATIENCE, World, clock};

async fn pays_although(fault: Fault) -> World {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.page_of(order).await;
    world.sim.set_faults(FaultScript::of(Operation::Approve, When::First(1), fault));
    world.pay(order).await;
    world.is_paid_once(order).await;
    world.is_idle().await;
    worker.stop().await.unwrap();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_paid() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    world.is_idle().await;
    assert_eq!(world.sim.ledger().calls(Operation::Order).arrived, 0, "nothing to look up");
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_with_its_connection_is_looked_up() {
    let world = pays_although(Fault::CommitThenDrop).await;
    assert_eq!(world.sim.ledger().calls(Operation::Approve).arrived, 1, "never called twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_error_after_the_charge_is_looked_up() {
    let world = pays_although(Fault::CommitThen500).await;
    assert_eq!(world.sim.ledger().calls(Operation::Approve).arrived, 1, "never called twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_answer_is_looked_up() {
    pays_although(Fault::TruncatedJson).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_committed_nothing_is_made_again_after_a_look_up() {
    for fault in [Fault::DropBeforeCommit, Fault::Fail { status: 500 }, Fault::BadGateway] {
        let world = pays_although(fault).await;
        let ledger = world.sim.ledger();
        assert_eq!(ledger.calls(Operation::Approve).arrived, 2);
        assert_eq!(ledger.calls(Operation::Order).arrived, 1, "a look-up in between");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_numbers_as_text_is_an_answer() {
    pays_although(Fault::StringNumbers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_only_delays() {
    pays_although(Fault::Maintenance).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_outlasts_our_patience_is_looked_up() {
    let mut world = World::new().await;
    world.config.gateway.connect_timeout = Duration::from_millis(300);
    world.config.gateway.call_timeout = Duration::from_millis(600);
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.page_of(order).await;
    let held = FaultScript::of(Operation::Approve, When::First(1), Fault::CommitThenHold);
    world.sim.set_faults(held);
    world.pay(order).await;
    world.is_paid_once(order).await;
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decline_is_recorded_and_the_shopper_may_try_again() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.page_of(order).await;
    let lack = Fault::Decline {
        code: -780,
        message: None,
        method_result_code: Some("LACK_BALANCE".to_owned()),
        method_result_message: None,
        status: 400,
    };
    world.sim.set_faults(FaultScript::of(Operation::Approve, When::First(1), lack));
    world.pay(order).await;
    let declined = world.becomes(order, OrderStatus::Declined).await;
    let stage = &declined.latest_attempt().unwrap().stage;
    let Stage::Declined { class, code, .. } = stage else { panic!("{stage:?}") };
    assert_eq!((*class, code.as_str()), (DeclineClass::Soft, "-780/LACK_BALANCE"));
    assert!(world.charges(order).is_empty());

    world.request_payment(order, OrderKind::OneOff).await;
    eventually(PATIENCE, || async {
        let attempt = world.order(order).await.latest_attempt().cloned().unwrap();
        (attempt.number == 2 && attempt.page.is_some()).then_some(())
    })
    .await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_return_approves_once() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    let token = world.press_approve(order).await;
    tokio::join!(
        world.come_back(order, token.clone()),
        world.come_back(order, token.clone()),
        world.come_back(order, token.clone()),
    );
    world.is_paid_once(order).await;
    world.come_back(order, token).await;
    world.is_idle().await;
    world.is_paid_once(order).await;
    assert_eq!(world.sim.ledger().calls(Operation::Approve).arrived, 1);
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_for_another_amount_is_not_believed() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.page_of(order).await;
    let altered = Fault::AlterAnswer { patch: json!({ "amount": { "total": 1 } }) };
    world.sim.set_faults(FaultScript::of(Operation::Approve, When::First(1), altered));
    world.pay(order).await;
    world.becomes(order, OrderStatus::Unresolved).await;
    eventually(PATIENCE, || async {
        let dead = world.number("select count(*) from outbox where state = 'dead'").await;
        (dead == 1).then_some(())
    })
    .await;
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_page_is_asked_for_anew_and_a_refused_connection_is_no_harm() {
    let world = World::new().await;
    let script = FaultScript {
        seed: 0,
        rules: vec![
            FaultRule::new(Operation::Ready, When::Call(1), Fault::CommitThenDrop),
            FaultRule::new(Operation::Ready, When::Call(2), Fault::Fail { status: 502 }),
        ],
    };
    world.sim.set_faults(script);
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listening_ends_the_attempt_and_not_the_order() {
    let mut world = World::new().await;
    let port = testkit::free_port();
    world.config.kakaopay_base_url = format!("http://127.0.0.1:{port}").parse().unwrap();
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    let placed = world.becomes(order, OrderStatus::Placed).await;
    let stage = &placed.latest_attempt().unwrap().stage;
    assert!(matches!(stage, Stage::Abandoned { .. }), "{stage:?}");
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_ran_out_declines_the_attempt() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    let token = world.press_approve(order).await;
    let later = clock().now() + chrono::TimeDelta::minutes(16);
    world.sim.clock().change(ClockChange::Now(later));
    world.come_back(order, token).await;
    let declined = world.becomes(order, OrderStatus::Declined).await;
    let stage = &declined.latest_attempt().unwrap().stage;
    assert!(matches!(stage, Stage::Declined { class: DeclineClass::Expired, .. }), "{stage:?}");
    assert!(world.charges(order).is_empty());
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn look_ups_that_never_answer_end_with_an_operator() {
    let mut world = World::new().await;
    world.config.retries.unknown_for_max = Duration::from_millis(300);
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.page_of(order).await;
    let script = FaultScript {
        seed: 0,
        rules: vec![
            FaultRule::new(Operation::Approve, When::Always, Fault::CommitThenDrop),
            FaultRule::new(Operation::Order, When::Always, Fault::Fail { status: 500 }),
        ],
    };
    world.sim.set_faults(script);
    world.pay(order).await;
    world.becomes(order, OrderStatus::Unresolved).await;
    eventually(PATIENCE, || async {
        let dead = world.number("select count(*) from outbox where state = 'dead'").await;
        (dead == 1).then_some(())
    })
    .await;

    // The gateway is back, and an operator has the row looked up again.
    world.sim.clear_faults();
    let row = world.db.client().await.query_one("select id from outbox", &[]).await.unwrap();
    let operator = processes::operator::Operator::new(world.db.pool.clone());
    let retry = processes::operator::Intervention::Retry;
    operator.intervene(row.get(0), retry, &crate::world::somebody()).await.unwrap();
    world.is_paid_once(order).await;
    world.is_idle().await;
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_whose_answer_is_lost_is_given_once() {
    for fault in [
        Fault::CommitThenDrop,
        Fault::CommitThen500,
        Fault::TruncatedJson,
        Fault::DropBeforeCommit,
        Fault::Maintenance,
    ] {
        let world = World::new().await;
        let worker = world.worker();
        let order = world.place(OrderKind::OneOff, false).await;
        world.pay(order).await;
        world.is_paid_once(order).await;
        let shown = format!("{fault:?}");
        world.sim.set_faults(FaultScript::of(Operation::Cancel, When::First(1), fault));
        world.refund(order, 5_000).await;
        world.refund(order, 5_000).await;
        eventually(PATIENCE, || async {
            let order = world.order(order).await;
            let mut stages = order.refunds.iter().map(|refund| &refund.stage);
            stages.all(|stage| *stage == RefundStage::Succeeded).then_some(())
        })
        .await;
        world.is_idle().await;
        let cancelled: Vec<i64> =
            world.charges(order)[0].cancels.iter().map(|cancel| cancel.amount).collect();
        assert_eq!(cancelled, [5_000, 5_000], "{shown}: two equal refunds are two refunds");
        worker.stop().await.unwrap();
    }
}

/// A first return with a token that was cut on its way must not cost the shopper the payment.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_leaves_the_attempt_open_for_the_true_one() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    let token = world.press_approve(order).await;
    world.come_back(order, token[..5].to_owned()).await;
    world.sim.calls_reach(Operation::Approve, 1).await;
    world.is_idle().await;
    let waiting = world.order(order).await;
    assert_eq!(waiting.status(), OrderStatus::AwaitingPayment);
    assert_eq!(waiting.latest_attempt().unwrap().tokens_refused, 1);
    // The wrong address again is tried no second time; the true one pays.
    world.come_back(order, token[..5].to_owned()).await;
    world.come_back(order, token).await;
    world.is_paid_once(order).await;
    world.is_idle().await;
    worker.stop().await.unwrap();
}

/// The true return comes while the wrong token is still being tried.
#[tokio::test(flavor = "multi_thread")]
async fn a_true_token_that_comes_meanwhile_is_tried_next() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    let token = world.press_approve(order).await;
    worker.stop().await.unwrap();
    world.come_back(order, token[..5].to_owned()).await;
    world.come_back(order, token).await;
    let worker = world.worker();
    world.is_paid_once(order).await;
    worker.stop().await.unwrap();
}

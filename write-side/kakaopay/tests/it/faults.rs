//! What the client makes of every way in which KakaoPay can go wrong, and what the ledger says.

use kakaopay::{ActionType, CallError, ErrorCode, NotSent, OrderStatus, PaymentMethod, Unknown};
use kakaopay_sim::{Fault, Operation};
use serde_json::json;

use crate::shop::{ONE_TIME, PRICE, Shop, amounts, charge_request, ready_request, sid_request};

/// Brings one approval to a fault; returns what the caller saw and how many charges there are.
async fn approval_under(fault: Fault) -> (CallError, u64) {
    let shop = Shop::open().await;
    let request = shop.authenticated(ONE_TIME).await;
    shop.break_next(Operation::Approve, fault);
    let error = shop.client.approve(&request, None).await.expect_err("a fault");
    assert_eq!(shop.sim.ledger().calls(Operation::Approve).arrived, 1, "never repeated");
    (error, shop.sim.ledger().totals.charges)
}

#[tokio::test]
async fn commit_then_drop_is_unknown_and_charged() {
    let (error, charges) = approval_under(Fault::CommitThenDrop).await;
    assert!(matches!(error, CallError::Unknown(Unknown::Connection(_))), "{error:?}");
    assert_eq!(charges, 1);
}

#[tokio::test]
async fn drop_before_commit_is_unknown_and_not_charged() {
    let (error, charges) = approval_under(Fault::DropBeforeCommit).await;
    assert!(matches!(error, CallError::Unknown(Unknown::Connection(_))), "{error:?}");
    assert_eq!(charges, 0);
}

#[tokio::test]
async fn commit_then_500_is_unknown_and_charged() {
    let (error, charges) = approval_under(Fault::CommitThen500).await;
    let code = Some(ErrorCode::INTERNAL);
    assert_eq!(error, CallError::Unknown(Unknown::Server { http_status: 500, code }));
    assert_eq!(charges, 1);
}

#[tokio::test]
async fn a_500_before_the_commit_looks_the_same_and_is_not_charged() {
    let (error, charges) = approval_under(Fault::Fail { status: 500 }).await;
    assert_eq!(error.code(), "unknown.server");
    assert_eq!(charges, 0);
}

#[tokio::test]
async fn a_bad_gateway_is_unknown() {
    let (error, _) = approval_under(Fault::BadGateway).await;
    assert_eq!(error, CallError::Unknown(Unknown::Server { http_status: 502, code: None }));
}

#[tokio::test]
async fn a_503_that_is_not_maintenance_is_unknown() {
    let (error, _) = approval_under(Fault::Fail { status: 503 }).await;
    assert_eq!(error.code(), "unknown.server");
}

#[tokio::test]
async fn truncated_json_is_unknown_and_charged() {
    let (error, charges) = approval_under(Fault::TruncatedJson).await;
    let CallError::Unknown(Unknown::Unreadable { http_status: 200, detail }) = &error else {
        panic!("{error:?}")
    };
    assert!(detail.starts_with("Eof error at line 1"), "{detail}");
    assert_eq!(charges, 1);
}

#[tokio::test]
async fn an_answer_without_what_a_decision_needs_is_unknown_and_quotes_nothing() {
    let patch = json!({ "amount": "no sum", "sid": "S-very-secret" });
    let (error, charges) = approval_under(Fault::AlterAnswer { patch }).await;
    assert_eq!(error.code(), "unknown.unreadable");
    assert!(!format!("{error} {error:?}").contains("no sum"), "{error:?}");
    assert_eq!(charges, 1);
}

#[tokio::test]
async fn maintenance_is_not_sent_and_not_charged() {
    let (error, charges) = approval_under(Fault::Maintenance).await;
    assert!(matches!(error, CallError::NotSent(NotSent::Maintenance(_))), "{error:?}");
    assert_eq!(charges, 0);
}

/// The caller gives up while the call is held; what KakaoPay began, it finishes.
///
/// The simulator runs every call in a task of its own for this. Poem 3 happens to finish the
/// handler of a closed connection anyway (checked: the test also passes with `serve` awaited in
/// place), so it is here for the day on which that changes.
#[tokio::test]
async fn a_call_given_up_on_is_unknown_and_still_carried_out() {
    let shop = Shop::open().await;
    let tid = shop.ready(ONE_TIME).await.tid;
    let request = crate::shop::approve_request(ONE_TIME, &tid, shop.authenticate(&tid));
    shop.break_next(Operation::Approve, Fault::HoldThenCommit);
    let answer = shop.impatient().approve(&request, None).await;
    assert_eq!(answer, Err(CallError::Unknown(Unknown::Timeout)));

    // A look-up by now finds the payment pending, and gives the server the time to notice that
    // the caller is gone.
    for _ in 0..3 {
        assert!(shop.order(ONE_TIME, &tid).await.status.is_pending());
    }
    shop.sim.clear_faults();
    // The held call keeps everybody else off the payment, so its end is when a repetition is
    // told that it is paid.
    loop {
        let answer = shop.client.approve(&request, None).await;
        let Err(CallError::Declined(error)) = answer else { panic!("{answer:?}") };
        if error.code == ErrorCode::ALREADY_PAID {
            break;
        }
        assert_eq!(error.code, ErrorCode::IN_FLIGHT);
    }
    assert_eq!(shop.sim.ledger().totals.charges, 1);
}

#[tokio::test]
async fn an_answer_held_back_after_the_commit_is_unknown_and_charged() {
    let shop = Shop::open().await;
    let request = shop.authenticated(ONE_TIME).await;
    shop.break_next(Operation::Approve, Fault::CommitThenHold);
    let answer = shop.impatient().approve(&request, None).await;
    assert_eq!(answer, Err(CallError::Unknown(Unknown::Timeout)));
    assert_eq!(shop.sim.ledger().totals.charged, PRICE);
}

#[tokio::test]
async fn slowness_within_patience_changes_nothing() {
    let shop = Shop::open().await;
    for fault in [
        Fault::Latency { ms: 5 },
        Fault::LatencyUniform { min_ms: 1, max_ms: 5 },
        Fault::DelayThenCommit { ms: 5 },
        Fault::CommitThenDelay { ms: 5 },
    ] {
        let request = shop.authenticated(ONE_TIME).await;
        shop.break_next(Operation::Approve, fault);
        shop.client.approve(&request, None).await.expect("approved");
    }
    assert_eq!(shop.sim.ledger().totals.charges, 4);
}

/// A lost charge of a key leaves one trace only: the key's last charge moved.
#[tokio::test]
async fn a_lost_charge_of_a_key_shows_in_its_status() {
    let shop = Shop::open().await;
    shop.at("2026-11-01T00:00:00Z");
    let sid = shop.subscribed().await;
    shop.at("2026-12-01T00:00:00Z");
    shop.break_next(Operation::Subscription, Fault::CommitThenDrop);
    let answer = shop.client.subscription(&charge_request(&sid), None).await;
    assert!(matches!(answer, Err(CallError::Unknown(_))), "{answer:?}");

    let status = shop.client.status(&sid_request(&sid), None).await.expect("a status");
    let moved = status.last_approved_at.expect("a time").to_utc();
    assert_eq!(moved, shop.sim.clock().now());
    assert_eq!(shop.sim.ledger().totals.charges, 2);
}

#[tokio::test]
async fn a_lost_approval_is_found_by_its_tid() {
    let shop = Shop::open().await;
    let ready = shop.ready(ONE_TIME).await;
    let token = shop.authenticate(&ready.tid);
    shop.break_next(Operation::Approve, Fault::CommitThenDrop);
    let request = crate::shop::approve_request(ONE_TIME, &ready.tid, token);
    shop.client.approve(&request, None).await.expect_err("lost");

    let order = shop.order(ONE_TIME, &ready.tid).await;
    assert_eq!(order.status, OrderStatus::SuccessPayment);
    assert!(order.approval_aid().is_some() && order.approved_at.is_some());
}

#[tokio::test]
async fn a_lost_cancellation_shows_in_the_running_total() {
    let shop = Shop::open().await;
    let tid = shop.paid(ONE_TIME).await.tid;
    shop.break_next(Operation::Cancel, Fault::CommitThen500);
    shop.cancel(&tid, 5_000, PRICE).await.expect_err("lost");
    assert_eq!(shop.order(ONE_TIME, &tid).await.canceled_total(), Some(5_000));
}

#[tokio::test]
async fn numbers_as_text_are_understood_by_every_call() {
    let shop = Shop::open().await;
    for operation in [Operation::Approve, Operation::Order, Operation::Cancel] {
        let request = shop.authenticated(ONE_TIME).await;
        shop.break_next(operation, Fault::StringNumbers);
        let approval = shop.client.approve(&request, None).await.expect("approved");
        assert_eq!(approval.amount.total, PRICE);
        assert_eq!(shop.order(ONE_TIME, &approval.tid).await.amount.vat, Some(1_809));
        let canceled = shop.cancel(&approval.tid, 1, PRICE).await.expect("cancelled");
        assert_eq!(canceled.canceled_amount.expect("a sum").total, 1);
    }
}

#[tokio::test]
async fn values_from_the_future_are_kept_as_they_came() {
    let shop = Shop::open().await;
    let tid = shop.paid(ONE_TIME).await.tid;
    let patch = json!({
        "status": "FROZEN_PAYMENT",
        "payment_method_type": "CRYPTO",
        "payment_action_details": [
            { "aid": "A1", "payment_action_type": "THAW", "amount": "5" },
            { "unreadable": true },
        ],
        "created_at": "long ago",
        "selected_card_info": [],
    });
    shop.break_next(Operation::Order, Fault::AlterAnswer { patch });
    let order = shop.order(ONE_TIME, &tid).await;
    assert_eq!(order.status, OrderStatus::Other("FROZEN_PAYMENT".to_owned()));
    assert!(!order.status.is_pending() && !order.status.was_paid() && !order.status.is_failed());
    assert_eq!(order.payment_method_type, Some(PaymentMethod::Other("CRYPTO".to_owned())));
    assert_eq!(order.payment_action_details.readable.len(), 1);
    assert_eq!(
        order.payment_action_details.readable[0].payment_action_type,
        ActionType::Other("THAW".to_owned())
    );
    assert_eq!((order.created_at, order.selected_card_info), (None, None));
}

#[tokio::test]
async fn an_unreadable_last_charge_is_not_taken_for_never() {
    let shop = Shop::open().await;
    let sid = shop.subscribed().await;
    let patch = json!({ "last_approved_at": "soon" });
    shop.break_next(Operation::Status, Fault::AlterAnswer { patch });
    let answer = shop.client.status(&sid_request(&sid), None).await;
    assert!(matches!(answer, Err(CallError::Unknown(Unknown::Unreadable { .. }))), "{answer:?}");
    let patch = json!({ "last_approved_at": "" });
    shop.break_next(Operation::Status, Fault::AlterAnswer { patch });
    let status = shop.client.status(&sid_request(&sid), None).await.expect("a status");
    assert_eq!(status.last_approved_at, None);
}

#[tokio::test]
async fn a_stopped_simulator_is_not_sent() {
    let shop = Shop::open().await;
    shop.sim.shutdown().await.expect("stopped");
    let answer = shop.client.ready(&ready_request(ONE_TIME, amounts()), None).await;
    assert!(matches!(answer, Err(CallError::NotSent(NotSent::Connect(_)))), "{answer:?}");
}

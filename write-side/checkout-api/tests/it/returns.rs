//! Coming back from the payment page.

use std::sync::Arc;

use contracts::events::{AbandonReason, OrderEvent};
use contracts::{EventBody, OrderId, seals};
use domain::order::Stage;
use serde_json::{Value, json};
use service_kit::vault::{MasterKey, Vault};
use uuid::Uuid;

use crate::orders::paid;
use crate::support::{Person, TestApp};

const TOKEN: &str = "0a1b2c3d4e5f60718293";

async fn at_the_page() -> (TestApp, Person, OrderId) {
    let app = TestApp::start().await;
    let kim = app.person("kim").await;
    let id = app.placed(&kim, 1_000).await;
    app.pay_page(&kim, id, "pay").await.with(200);
    (app, kim, id)
}

#[tokio::test]
async fn the_token_is_recorded_sealed_and_the_money_is_asked_for() {
    let (app, kim, id) = at_the_page().await;
    let back = app.call("GET", format!("{}?pg_token={TOKEN}", app.return_path(id, 1))).send().await;
    let back = back.with(200);
    assert_eq!(back.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(back.header("cache-control"), Some("no-store"));
    assert_eq!(back.header("referrer-policy"), Some("no-referrer"));
    let page = back.body.as_str().unwrap();
    for secret in [TOKEN, &id.to_string(), "kim", "1000"] {
        assert!(!page.contains(secret), "{secret} in {page}");
    }
    assert_eq!(app.count("select count(*) from outbox where kind = 'payment_approve'").await, 1);

    let row = app
        .database
        .client()
        .await
        .query_one("select payload from events where event_type = 'PaymentApprovalRequested'", &[])
        .await
        .unwrap();
    let payload: Value = row.get(0);
    assert!(!payload.to_string().contains(TOKEN), "{payload}");
    let event: OrderEvent = contracts::decode("PaymentApprovalRequested", "1", payload).unwrap();
    let OrderEvent::PaymentApprovalRequested { pg_token, .. } = event else {
        panic!("{}", event.event_type());
    };
    let vault = Vault::new(
        app.database.pool.clone(),
        MasterKey::from_base64(&app.config.master_key).unwrap(),
    );
    let stream = seals::order_stream(id);
    let opened = vault.open(kim.user_id, &stream, seals::PG_TOKEN, &pg_token).await.unwrap();
    assert_eq!(opened.as_deref(), Some(TOKEN));
}

/// A reload, a prefetch and a repeating proxy at the same moment, through two processes: one return
/// and one approval are recorded.
///
/// The aggregate's "the first return counts", held by the version check, prevents the rest. Seen to
/// fail with that check taken out of `record_return`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coming_back_many_times_counts_once() {
    let (app, _, id) = at_the_page().await;
    let other = TestApp::over(Arc::clone(&app.database), |_| {}).await;
    let path = format!("{}?pg_token={TOKEN}", app.return_path(id, 1));
    let reloads = (0..10).map(|number| {
        let process = if number % 2 == 0 { &app } else { &other };
        process.call("GET", &path).send()
    });
    for answer in futures_util::future::join_all(reloads).await {
        answer.with(200);
    }
    // The back button after that changes nothing either.
    app.call("GET", format!("{}/cancel", app.return_path(id, 1))).send().await.with(200);
    assert_eq!(app.events("PaymentReturned").await, 1);
    assert_eq!(app.events("PaymentApprovalRequested").await, 1);
    assert_eq!(app.count("select count(*) from outbox where kind = 'payment_approve'").await, 1);
}

#[tokio::test]
async fn whoever_was_not_sent_there_finds_nothing() {
    let (app, kim, id) = at_the_page().await;
    let other = app.placed(&kim, 1_000).await;
    let path = app.return_path(id, 1);
    let (rest, last) = path.split_at(path.len() - 1);
    let tampered = format!("{rest}{}", if last == "0" { "1" } else { "0" });
    let of_other = path.replace(&id.to_string(), &other.to_string());
    let unknown = app.return_path(OrderId::new(Uuid::now_v7()), 1);
    for path in [tampered, of_other, unknown, app.return_path(id, 2)] {
        for end in ["?pg_token=token", "/cancel", "/fail"] {
            let refused = app.call("GET", format!("{path}{end}")).send().await;
            refused.refused(404, "order.not_found");
        }
    }
    assert_eq!(app.events("PaymentReturned").await, 0);
}

#[tokio::test]
async fn what_is_no_return_address_is_malformed() {
    let (app, _, id) = at_the_page().await;
    let path = app.return_path(id, 1);
    let long = "x".repeat(129);
    for wrong in [
        path.clone(),
        format!("{path}?pg_token="),
        format!("{path}?pg_token=a%20b"),
        format!("{path}?pg_token=%00"),
        format!("{path}?pg_token=%ED%86%A0"),
        format!("{path}?pg_token={long}"),
        format!("/payments/return/{id}/nonsense?pg_token=t"),
        format!("/payments/return/{id}/1-zz/cancel"),
        "/payments/return/nonsense/1-00?pg_token=t".to_owned(),
        "/payments/return/%FF/1-00?pg_token=t".to_owned(),
    ] {
        let refused = app.call("GET", &wrong).send().await;
        assert_eq!(refused.status.as_u16(), 400, "{wrong}: {}", refused.body);
    }
    assert_eq!(app.events("PaymentReturned").await, 0);
}

#[tokio::test]
async fn head_does_nothing() {
    let (app, _, id) = at_the_page().await;
    for end in ["?pg_token=token", "/cancel", "/fail"] {
        let path = format!("{}{end}", app.return_path(id, 1));
        app.call("HEAD", path).send().await.with(204);
    }
    assert_eq!(app.events("PaymentReturned").await, 0);
}

#[tokio::test]
async fn leaving_the_page_ends_the_attempt_and_the_order_may_be_paid_again() {
    for (end, reason) in
        [("cancel", AbandonReason::CancelledByShopper), ("fail", AbandonReason::FailedOnPage)]
    {
        let (app, kim, id) = at_the_page().await;
        app.call("GET", format!("{}/{end}", app.return_path(id, 1))).send().await.with(200);
        let state = app.order(id).await;
        assert_eq!(state.latest_attempt().unwrap().stage, Stage::Abandoned { reason });
        let (again, ()) = tokio::join!(app.pay(&kim, id, "again"), app.open_page(id, 2));
        assert_eq!(again.with(200).body["attempt"], 2);
    }
}

#[tokio::test]
async fn a_configured_result_page_is_where_the_browser_goes() {
    let app = TestApp::configured(|config| {
        config.payment_result_url = Some("https://shop.example/result?lang=ko".parse().unwrap());
    })
    .await;
    let kim = app.person("kim").await;
    let id = app.placed(&kim, 1_000).await;
    app.pay_page(&kim, id, "pay").await.with(200);
    let path = format!("{}?pg_token={TOKEN}", app.return_path(id, 1));
    let elsewhere = app.call("GET", path).send().await.with(303);
    let location = format!("https://shop.example/result?lang=ko&order={id}&outcome=processing");
    assert_eq!(elsewhere.header("location"), Some(location.as_str()));
}

/// F18: who comes back to an order that was called off sees so, and the token is not kept.
#[tokio::test]
async fn coming_back_to_an_order_that_was_called_off_says_so_and_records_nothing() {
    let (app, kim, id) = at_the_page().await;
    let cancel = app.call("POST", format!("/api/orders/{id}/cancel")).by(&kim);
    cancel.json(json!({})).send().await.with(200);
    let path = format!("{}?pg_token={TOKEN}", app.return_path(id, 1));
    let back = app.call("GET", path).send().await.with(200);
    let page = back.body.as_str().unwrap();
    assert!(page.contains("주문 취소") && !page.contains("결제 확인 중"), "{page}");
    assert_eq!(app.events("PaymentReturned").await, 0);
}

/// A shopper who reloads the page after the approval was recorded saw "being checked" for ever.
#[tokio::test]
async fn the_page_shows_the_outcome_when_it_is_loaded_again() {
    let app = TestApp::start().await;
    let kim = app.person("kim").await;
    let id = app.placed(&kim, 1_000).await;
    paid(&app, &kim, id).await;
    let path = format!("{}?pg_token=token", app.return_path(id, 1));
    let back = app.call("GET", path).send().await.with(200);
    let page = back.body.as_str().unwrap();
    assert!(page.contains("결제 완료") && !page.contains("결제 확인 중"), "{page}");
}

#[tokio::test]
async fn another_token_is_kept_while_the_first_is_tried_and_the_same_is_not() {
    let (app, _, id) = at_the_page().await;
    for (token, returns) in [(TOKEN, 1), (TOKEN, 1), ("0a1b2c", 2), ("0a1b2c", 2)] {
        let path = format!("{}?pg_token={token}", app.return_path(id, 1));
        app.call("GET", path).send().await.with(200);
        assert_eq!(app.events("PaymentReturned").await, returns, "{token}");
    }
    assert_eq!(app.events("PaymentApprovalRequested").await, 1);
}

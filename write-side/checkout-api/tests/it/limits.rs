//! What one shopper may do in a moment, a minute and an hour, with the limits of a shop.

use std::time::Duration;

use serde_json::json;
use service_kit::http::Allowance;
use uuid::Uuid;

use crate::support::{Answer, Person, TestApp, receiver};

/// A refusal by a limit says which, and when to come back.
#[track_caller]
fn is_limited(answer: Answer, code: &str, policy: &str) {
    let answer = answer.refused(429, code);
    assert_eq!(answer.header("ratelimit-policy"), Some(policy));
    assert!(answer.header("ratelimit").unwrap().contains("r=0"), "{:?}", answer.headers);
    assert!(0 < answer.header("retry-after").unwrap().parse::<u64>().unwrap());
}

async fn place(app: &TestApp, person: &Person, key: &str) -> Answer {
    let item = app.item(10_000).await;
    let lines = json!([{ "itemId": item.to_string(), "quantity": 1 }]);
    let body = json!({ "lines": lines, "receiver": receiver() });
    app.call("POST", "/api/orders").by(person).key(key).json(body).send().await
}

/// 100,000 edits of one cart made each refused order from it half a second long.
#[tokio::test]
async fn edits_are_five_a_second_and_shopper() {
    let app = TestApp::configured(|config| {
        // As in a shop, but slow enough for a busy machine.
        config.limits.edits_per_user = Allowance::per(Duration::from_mins(5), 5);
    })
    .await;
    let (kim, lee) = (app.person("kim").await, app.person("lee").await);
    let item = app.item(10_000).await;
    for _ in 0..5 {
        app.add(&kim, item, 1).await.with(200);
    }
    let policy = "\"edit\";q=5;w=300";
    is_limited(app.add(&kim, item, 1).await, "limit.edits", policy);
    let line = format!("/api/carts/one-off/items/{item}");
    let changed = app.call("PATCH", &line).by(&kim).json(json!({ "quantity": 2 }));
    is_limited(changed.send().await, "limit.edits", policy);
    is_limited(app.call("DELETE", &line).by(&kim).send().await, "limit.edits", policy);
    let emptied = app.call("DELETE", "/api/carts/one-off/items").by(&kim);
    is_limited(emptied.send().await, "limit.edits", policy);
    is_limited(place(&app, &kim, "order-1").await, "limit.edits", policy);
    let path = format!("/api/orders/{}", Uuid::nil());
    let called_off = app.call("POST", format!("{path}/cancel")).by(&kim).json(json!({}));
    is_limited(called_off.send().await, "limit.edits", policy);
    let refund = app.call("POST", format!("{path}/refunds")).by(&kim).key("refund-1");
    is_limited(refund.json(json!({ "amount": 1 })).send().await, "limit.edits", policy);
    let paying = app.call("POST", format!("{path}/payment")).by(&kim).key("pay-1");
    is_limited(paying.send().await, "limit.edits", policy);
    app.add(&lee, item, 1).await.with(200);
}

/// 40 orders in 0.2 s were all 201.
#[tokio::test]
async fn orders_are_limited_and_a_repeated_request_is_none() {
    let app = TestApp::configured(|config| {
        config.limits.orders_per_user = Allowance::per(Duration::from_hours(1), 2);
    })
    .await;
    let (kim, lee) = (app.person("kim").await, app.person("lee").await);
    let item = app.item(10_000).await;
    let body = json!({
        "lines": [{ "itemId": item.to_string(), "quantity": 1 }],
        "receiver": receiver(),
    });
    let order = async |person: &Person, key: &str| {
        app.call("POST", "/api/orders").by(person).key(key).json(body.clone()).send().await
    };
    order(&kim, "order-1").await.with(201);
    for _ in 0..3 {
        order(&kim, "order-1").await.with(201);
    }
    order(&kim, "order-2").await.with(201);
    is_limited(order(&kim, "order-3").await, "limit.orders", "\"order\";q=2;w=3600");
    order(&kim, "order-2").await.with(201);
    order(&lee, "order-1").await.with(201);
}

#[tokio::test]
async fn payment_attempts_are_limited_and_an_open_page_is_none() {
    let app = TestApp::configured(|config| {
        config.limits.payments_per_user = Allowance::per(Duration::from_hours(1), 1);
    })
    .await;
    let kim = app.person("kim").await;
    let (first, second) = (app.placed(&kim, 10_000).await, app.placed(&kim, 20_000).await);
    app.pay_page(&kim, first, "pay-1").await.with(200);
    // The page is open: a request for it, with the same key or another, is answered with it.
    app.pay(&kim, first, "pay-1").await.with(200);
    app.pay(&kim, first, "pay-2").await.with(200);
    is_limited(app.pay(&kim, second, "pay-3").await, "limit.payments", "\"payment\";q=1;w=3600");
}

#[tokio::test]
async fn what_has_no_limit_is_never_refused() {
    let app = TestApp::configured(|config| {
        config.limits.edits_per_user = Allowance::per(Duration::from_secs(1), 0);
    })
    .await;
    let (kim, item) = (app.person("kim").await, app.item(10_000).await);
    for _ in 0..30 {
        app.add(&kim, item, 1).await.with(200);
    }
}

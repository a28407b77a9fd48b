//! The two carts.

use std::sync::Arc;

use contracts::{CartKey, CartKind};
use domain::cart::Cart;
use domain::item::ItemCommand;
use event_store::{CommandContext, Executor, ExecutorOptions, PgEventStore, StoreSizes};
use serde_json::json;
use service_kit::config::Secret;

use crate::support::{Person, TestApp, system};

async fn cart_of(app: &TestApp, person: &Person, kind: CartKind) -> Cart {
    let url = Secret::new(app.database.url.clone());
    let store = PgEventStore::open(&url, StoreSizes::default()).unwrap();
    let carts: Executor<Cart> = Executor::new(store, ExecutorOptions::default());
    let key = CartKey { user_id: person.user_id, kind };
    carts.load(key.id().uuid()).await.unwrap().state
}

#[tokio::test]
async fn a_cart_is_filled_changed_and_emptied() {
    let app = TestApp::start().await;
    let kim = app.person("kim").await;
    let (ginseng, omega) = (app.item(32_900).await, app.item(9_900).await);

    let added = app.add(&kim, ginseng, 2).await.with(200);
    assert_eq!(added.header("etag"), Some("\"1\""));
    assert!(added.header("event-position").is_some());
    assert_eq!(added.body["lines"], 1);
    assert_eq!(added.body["capped"], false);
    assert_eq!(
        added.body["line"],
        json!({
            "itemId": ginseng.to_string(), "itemName": "홍삼정", "quantity": 2, "unitPrice": 32_900,
        })
    );

    assert_eq!(app.add(&kim, ginseng, 3).await.with(200).body["line"]["quantity"], 5);
    app.add(&kim, omega, 1).await.with(200);
    let path = format!("/api/carts/one-off/items/{ginseng}");
    let changed = app.call("PATCH", &path).by(&kim).json(json!({ "quantity": 7 })).send().await;
    assert_eq!(changed.with(200).body["line"]["quantity"], 7);

    let removed = app.call("DELETE", &path).by(&kim).send().await.with(200);
    assert_eq!(removed.body, json!({ "capped": false, "lines": 1 }));
    // Gone already: nothing happens, and that is no error.
    let again = app.call("DELETE", &path).by(&kim).send().await.with(200);
    assert_eq!((again.header("event-position"), again.header("etag")), (None, Some("\"5\"")));

    let cleared = app.call("DELETE", "/api/carts/one-off/items").by(&kim).send().await.with(200);
    assert_eq!(cleared.body["lines"], 0);
}

#[tokio::test]
async fn the_answer_says_when_a_line_is_full() {
    let app = TestApp::start().await;
    let kim = app.person("kim").await;
    let item = app.item(1_000).await;
    for (quantity, total, capped) in
        [(60, 60, false), (39, 99, false), (1, 99, true), (99, 99, true)]
    {
        let added = app.add(&kim, item, quantity).await.with(200);
        assert_eq!(added.body["line"]["quantity"], total);
        assert_eq!(added.body["capped"], capped, "{quantity} more, {total} now");
    }
}

#[tokio::test]
async fn periods_belong_to_the_subscription_cart() {
    let app = TestApp::start().await;
    let kim = app.person("kim").await;
    let item = app.item(1_000).await;
    let add = async |cart: &str, period: Option<i64>| {
        let body = json!({ "itemId": item.to_string(), "quantity": 1, "periodDays": period });
        app.call("POST", format!("/api/carts/{cart}/items")).by(&kim).json(body).send().await
    };
    add("subscription", None).await.refused(422, "cart.period_required");
    add("one-off", Some(30)).await.refused(422, "cart.period_not_allowed");
    add("subscription", Some(31)).await.refused(422, "request.invalid");
    assert_eq!(add("subscription", Some(30)).await.with(200).body["line"]["periodDays"], 30);

    let path = format!("/api/carts/subscription/items/{item}");
    let changed = app.call("PATCH", &path).by(&kim).json(json!({ "periodDays": 90 })).send().await;
    assert_eq!(changed.with(200).body["line"]["periodDays"], 90);
    for body in [json!({}), json!({ "quantity": 1, "periodDays": 30 })] {
        let refused = app.call("PATCH", &path).by(&kim).json(body).send().await;
        refused.refused(422, "cart.one_change");
    }
    assert!(cart_of(&app, &kim, CartKind::OneOff).await.lines().is_empty());
}

#[tokio::test]
async fn what_is_not_on_sale_cannot_be_put_in() {
    let app = TestApp::start().await;
    let kim = app.person("kim").await;
    let item = app.item(1_000).await;
    let command = ItemCommand::WithdrawItem { by: domain::Principal::System, reason: None };
    app.items.dispatch(item.uuid(), command, CommandContext::new(system())).await.unwrap();
    app.add(&kim, item, 1).await.refused(422, "cart.item_withdrawn");
    let unknown = contracts::ItemId::new(uuid::Uuid::now_v7());
    app.add(&kim, unknown, 1).await.refused(404, "item.not_found");
    for quantity in [0, -1, 100, i64::MAX] {
        app.add(&kim, item, quantity).await.refused(422, "request.invalid");
    }
}

#[tokio::test]
async fn a_change_of_an_old_version_is_refused_with_the_current_one() {
    let app = TestApp::start().await;
    let kim = app.person("kim").await;
    let item = app.item(1_000).await;
    let seen = app.add(&kim, item, 1).await.with(200).header("etag").unwrap().to_owned();
    app.add(&kim, item, 1).await.with(200);

    let path = format!("/api/carts/one-off/items/{item}");
    let change = |tag: &str| {
        let call = app.call("PATCH", &path).by(&kim).json(json!({ "quantity": 9 }));
        call.header("if-match", tag).send()
    };
    let stale = change(&seen).await.refused(412, "precondition.stale");
    let current = stale.header("etag").unwrap().to_owned();
    change("W/\"2\"").await.refused(412, "precondition.stale");
    change("2").await.refused(400, "precondition.malformed");
    change(&current).await.with(200);
    change("*").await.with(200);
}

#[tokio::test]
async fn a_repeated_request_happens_once() {
    let app = TestApp::start().await;
    let kim = app.person("kim").await;
    let lee = app.person("lee").await;
    let item = app.item(1_000).await;
    let add = async |person: &Person, key: &str, quantity: i64| {
        let body = json!({ "itemId": item.to_string(), "quantity": quantity });
        app.call("POST", "/api/carts/one-off/items").by(person).key(key).json(body).send().await
    };
    let first = add(&kim, "key-1", 2).await.with(200);
    assert_eq!(first.header("idempotent-replayed"), None);
    app.add(&kim, item, 5).await.with(200);

    let again = add(&kim, "\"key-1\"", 2).await.with(200);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.body, first.body);
    for name in ["etag", "event-position"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    add(&kim, "key-1", 3).await.refused(422, "idempotency.key_reused");
    // The key is kim's, for this route.
    add(&lee, "key-1", 3).await.with(200);
    let clear = app.call("DELETE", "/api/carts/one-off/items").by(&lee).key("key-1").send().await;
    assert_eq!(clear.with(200).header("idempotent-replayed"), None);
    add(&kim, "no blanks", 1).await.refused(400, "idempotency.key_malformed");
    assert_eq!(cart_of(&app, &kim, CartKind::OneOff).await.pieces(), 7);
}

/// Fifty tasks edit two carts at once, half of them through another process; every edit counts.
///
/// The version check at the append (the primary key of `events`) makes a loser decide again on what
/// the winner left. Seen to fail: 10 pieces of 52 with a conflict answered as success in the
/// executor, and edits refused with 409 when a loser is not decided again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_carts_edited_by_fifty_tasks_at_once_lose_no_edit() {
    let app = Arc::new(TestApp::start().await);
    let other = Arc::new(TestApp::over(Arc::clone(&app.database), |_| {}).await);
    let kim = app.person("kim").await;
    let items = [app.item(1_000).await, app.item(2_000).await, app.item(3_000).await];
    let tasks = (0..50_usize).map(|number| {
        let app = Arc::clone(if number % 2 == 0 { &app } else { &other });
        let (kim, item) = (kim.clone(), items[number % 3]);
        tokio::spawn(async move {
            let (cart, period) =
                if number % 4 < 2 { ("one-off", None) } else { ("subscription", Some(30)) };
            let body = json!({ "itemId": item.to_string(), "quantity": 2, "periodDays": period });
            let call = app.call("POST", format!("/api/carts/{cart}/items")).by(&kim);
            call.json(body).send().await.status.as_u16()
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap(), 200);
    }
    let pieces = async |kind| cart_of(&app, &kim, kind).await.pieces();
    assert_eq!(pieces(CartKind::OneOff).await, 26 * 2);
    assert_eq!(pieces(CartKind::Subscription).await, 24 * 2);
    assert_eq!(app.events("CartItemAdded").await, 50);
}

//! The administrators' listener.

use contracts::ItemId;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::TestApp;

#[tokio::test]
async fn an_administrator_prices_withdraws_and_relists() {
    let app = TestApp::start().await;
    let (admin, kim) = (app.administrator().await, app.person("kim").await);
    let item = app.item(10_000).await;
    let path = |what: &str| format!("/admin/items/{item}/{what}");

    let price = json!({ "originPrice": 20_000, "discountRate": 12.5 });
    let priced = app.admin_call("PUT", path("price")).by(&admin).json(price).send().await.with(200);
    let offer = json!({
        "itemId": item.to_string(), "originPrice": 20_000, "unitPrice": 17_500, "onSale": true,
    });
    assert_eq!(priced.body, offer);
    assert_eq!(priced.header("etag"), Some("\"3\""));

    let withdraw = || app.admin_call("POST", path("withdraw")).by(&admin);
    let stale = withdraw().header("if-match", "\"2\"").json(json!({})).send().await;
    stale.refused(412, "precondition.stale");
    let withdrawn = withdraw().json(json!({ "reason": "회수" })).send().await.with(200);
    assert_eq!(withdrawn.body["onSale"], false);
    app.add(&kim, item, 1).await.refused(422, "cart.item_withdrawn");

    let relisted = app.admin_call("POST", path("relist")).by(&admin).send().await.with(200);
    assert_eq!(relisted.body["onSale"], true);
    assert_eq!(app.add(&kim, item, 1).await.with(200).body["line"]["unitPrice"], 17_500);
}

#[tokio::test]
async fn shoppers_and_strangers_do_not_edit_the_catalogue() {
    let app = TestApp::start().await;
    let kim = app.person("kim").await;
    let item = app.item(10_000).await;
    for (method, what, body) in [
        ("POST", "withdraw", json!({})),
        ("POST", "relist", Value::Null),
        ("PUT", "price", json!({ "originPrice": 1, "discountRate": 0 })),
    ] {
        let path = format!("/admin/items/{item}/{what}");
        let call = app.admin_call(method, &path).by(&kim).json(body.clone());
        call.send().await.refused(401, "auth.token_invalid");
        app.admin_call(method, &path).json(body).send().await.refused(401, "auth.token_missing");
        // On the shoppers' listener there is nothing of the kind.
        app.call(method, &path).by(&kim).send().await.refused(404, "route.not_found");
    }
    assert_eq!(app.count("select count(*) from events where aggregate_type = 'item'").await, 1);
}

#[tokio::test]
async fn a_price_within_bounds_and_an_item_that_exists_are_needed() {
    let app = TestApp::start().await;
    let admin = app.administrator().await;
    let item = app.item(10_000).await;
    let price = async |id: ItemId, price: i64, rate: Value| {
        let body = json!({ "originPrice": price, "discountRate": rate });
        app.admin_call("PUT", format!("/admin/items/{id}/price")).by(&admin).json(body).send().await
    };
    for (origin, rate, code) in [
        (-1, json!(0), "request.invalid"),
        (0, json!(0), "item.price_out_of_range"),
        (1_000, json!(100.1), "request.invalid"),
        (1_000, json!(12.55), "request.invalid"),
        (1_000, json!(-1), "request.invalid"),
    ] {
        price(item, origin, rate).await.refused(422, code);
    }
    let unknown = ItemId::new(Uuid::now_v7());
    price(unknown, 1_000, json!(0)).await.refused(404, "item.not_found");
}

//! The caller's carts: their own, with yesterday's and today's price of each line.

use contracts::{CartKey, CartKind, UserId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{TestApp, somebody};

const CHEAPER: &str = "018f0000-0000-7000-8000-000000000001";
const WITHDRAWN: &str = "018f0000-0000-7000-8000-000000000002";

async fn put_cart(app: &TestApp, user: UserId, kind: CartKind, version: i64, lines: &Value) {
    let key = CartKey { user_id: user, kind };
    let count = i32::try_from(lines.as_array().unwrap().len()).unwrap();
    app.db
        .client()
        .await
        .execute(
            "insert into cart_view_v1 (cart_id, user_id, kind, line_count, lines, version, position) \
             values ($1, $2, $3, $4, $5, $6, 1)",
            &[&key.id().uuid(), &user.uuid(), &kind.as_str(), &count, &lines.to_string(), &version],
        )
        .await
        .unwrap();
}

async fn put_item(app: &TestApp, id: &str, origin_price: i64, price: i64, on_sale: bool) {
    let id: Uuid = id.parse().unwrap();
    app.db
        .client()
        .await
        .execute(
            "insert into item_detail_v1 (item_id, report_no, name, origin_price, discount_rate, price, \
             on_sale, categories, listed_position, facts, document, version, position) \
             values ($1, '200400150391', 'x', $2, 0, $3, $4, '{ETC}', 1, '{}', '{}', 1, 1)",
            &[&id, &origin_price, &price, &on_sale],
        )
        .await
        .unwrap();
}

/// Pitfalls D9 and D11: the price of today beside the price of then, and totals that say both.
#[tokio::test]
async fn a_cart_shows_both_prices_and_sums_what_can_be_ordered() {
    let app = TestApp::start().await;
    let user = somebody();
    put_item(&app, CHEAPER, 10_000, 8_000, true).await;
    put_item(&app, WITHDRAWN, 5_000, 5_000, false).await;
    let lines = json!([
        { "itemId": CHEAPER, "itemName": "홍삼", "quantity": 3, "unitPrice": 9_000 },
        { "itemId": WITHDRAWN, "itemName": "녹용", "quantity": 1, "unitPrice": 5_000 },
    ]);
    put_cart(&app, user, CartKind::OneOff, 7, &lines).await;

    let answer = app.get_as(user, "/api/carts/one-off").await;

    assert_eq!(answer.header("etag"), "\"7\"");
    let key = CartKey { user_id: user, kind: CartKind::OneOff };
    assert_eq!(
        answer.json(),
        json!({
            "cartId": key.id().to_string(),
            "kind": "one-off",
            "lines": [
                {
                    "itemId": CHEAPER, "itemName": "홍삼", "quantity": 3,
                    "snapshotPrice": 9_000, "originPrice": 10_000, "currentPrice": 8_000,
                    "priceChanged": true, "withdrawn": false, "lineTotal": 24_000,
                },
                {
                    "itemId": WITHDRAWN, "itemName": "녹용", "quantity": 1,
                    "snapshotPrice": 5_000, "originPrice": 5_000, "currentPrice": 5_000,
                    "priceChanged": false, "withdrawn": true, "lineTotal": 5_000,
                },
            ],
            "totals": {
                "quantity": 3, "originTotal": 30_000, "discountTotal": 6_000, "payableTotal": 24_000,
            },
        })
    );
}

#[tokio::test]
async fn a_cart_is_shown_to_its_owner_alone_and_each_kind_for_itself() {
    let app = TestApp::start().await;
    let (owner, other) = (somebody(), somebody());
    let line = json!([{
        "itemId": CHEAPER, "itemName": "홍삼", "quantity": 2, "periodDays": 30, "unitPrice": 900,
    }]);
    put_cart(&app, owner, CartKind::Subscription, 3, &line).await;

    let own = app.get_as(owner, "/api/carts/subscription").await.json();
    assert_eq!(own["lines"][0]["periodDays"], 30);

    for (user, path) in [(owner, "/api/carts/one-off"), (other, "/api/carts/subscription")] {
        let answer = app.get_as(user, path).await;
        assert_eq!(answer.header("etag"), "\"0\"", "an untouched cart has version 0");
        assert_eq!(answer.json()["lines"], json!([]));
    }
}

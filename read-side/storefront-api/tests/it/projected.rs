//! From the log through the real projector to the answer: what is stored ready to send is what the
//! API describes, and a write is read back by the position it returned.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use contracts::events::{
    ApprovedAmount, CancelledBy, CartEvent, ItemDetails, ItemEvent, OrderEvent, OrderKind,
    OrderLine, PaymentMethod, RedirectUrls,
};
use contracts::personal::Sealed;
use contracts::{
    CartKey, CartKind, Category, DiscountRate, EventBody, ItemId, OrderId, OrderNumber, Position,
    Quantity, Receiver, RefundId, ReportNo, Text, UserId, Won,
};
use projections::ProjectorConfig;
use serde_json::{Value, json};
use service_kit::clock::{Clock, SystemClock};
use service_kit::shutdown::{self, ShutdownTrigger};
use uuid::Uuid;

use crate::app::{Answer, TestApp, somebody};

/// A shop with a projector on its log.
struct Shop {
    app: TestApp,
    document: Value,
    versions: HashMap<Uuid, i64>,
    last: i64,
    end: ShutdownTrigger,
}

impl Shop {
    async fn open() -> Self {
        let app = TestApp::start().await;
        let url = app.db.url_as(testkit::Login::Projector);
        let config = ProjectorConfig::load(|name| match name {
            "DATABASE_URL" => Some(url.clone()),
            "PROJECTOR_OPS_LISTEN" => Some("127.0.0.1:0".to_owned()),
            _ => None,
        })
        .unwrap();
        let (end, shutdown) = shutdown::pair();
        tokio::spawn(async move { projections::run(config, shutdown).await.unwrap() });
        let document = app.get("/openapi.json").await.json();
        Self { app, document, versions: HashMap::new(), last: 0, end }
    }

    async fn record<E: EventBody>(&mut self, id: Uuid, event: &E) {
        let version = self.versions.entry(id).or_default();
        let row = self
            .app
            .db
            .client()
            .await
            .query_one(
                "select positions from append_events($1, $2, $3, $4, array[$5::text], array['1'], \
                 array[$6::jsonb], $7)",
                &[
                    &Uuid::now_v7(),
                    &E::AGGREGATE_TYPE,
                    &id.to_string(),
                    &*version,
                    &event.event_type(),
                    &event.encode().unwrap(),
                    &json!({ "actor": { "system": "test" }, "correlation_id": "test" }),
                ],
            )
            .await
            .unwrap();
        *version += 1;
        self.last = row.get::<_, Vec<i64>>(0)[0];
    }

    /// What `user` is answered once everything that was recorded is visible.
    async fn read(&self, user: UserId, path: &str) -> Answer {
        let (bearer, position) = (self.app.bearer(user), Position::new(self.last).token());
        // A projector that is still starting may need longer than a request waits.
        testkit::eventually(std::time::Duration::from_secs(30), || async {
            let headers =
                [("authorization", bearer.as_str()), ("min-event-position", position.as_str())];
            let answer = self.app.get_with(path, &headers).await;
            answer.header("projection-lagging").is_empty().then_some(answer)
        })
        .await
    }

    /// Fails unless `value` has exactly the fields that the API's `schema` describes.
    fn assert_described(&self, schema: &str, value: &Value) {
        let described = &self.document["components"]["schemas"][schema];
        let fields = described["properties"].as_object().unwrap_or_else(|| panic!("{schema}"));
        let given = value.as_object().unwrap_or_else(|| panic!("{schema}: {value}"));
        for name in given.keys() {
            assert!(fields.contains_key(name), "{schema} does not describe {name}: {value}");
        }
        for name in described["required"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap();
            assert!(given.contains_key(name), "{schema} promises {name}: {value}");
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.end.trigger();
    }
}

fn won(amount: i64) -> Won {
    amount.try_into().unwrap()
}

fn text<const MAX: usize>(raw: &str) -> Text<MAX> {
    Text::parse(raw).unwrap()
}

/// The API compares ends with its own clock, so an order of a fixed day would expire one day.
fn now() -> DateTime<Utc> {
    SystemClock.now()
}

fn report_no(number: u64) -> ReportNo {
    format!("{number:014}").try_into().unwrap()
}

fn registered(number: u64, origin_price: i64, tenths: u16, category: Category) -> ItemEvent {
    let blank = json!({ "product_name": format!("홍삼 \"{number}\"") });
    let details: ItemDetails = serde_json::from_value(blank).unwrap();
    ItemEvent::Registered {
        report_no: report_no(number),
        details: ItemDetails { enterprise: Some(text("(주)건강")), ..details },
        origin_price: won(origin_price),
        discount_rate: DiscountRate::try_from(tenths).unwrap(),
        categories: [category].into(),
    }
}

#[tokio::test]
async fn the_shop_window_is_what_the_api_describes() {
    let mut shop = Shop::open().await;
    let user = somebody();
    for (number, category) in [(1, Category::Eye), (2, Category::Bone), (3, Category::Eye)] {
        let id = ItemId::of(&report_no(number)).uuid();
        shop.record(id, &registered(number, 10_000, 125, category)).await;
    }
    let withdrawn = ItemId::of(&report_no(3)).uuid();
    shop.record(withdrawn, &ItemEvent::Withdrawn { reason: None }).await;

    let list = shop.read(user, "/api/items?category=EYE&onSale=true").await.json();
    assert_eq!(list["pageInfo"]["totalElements"], 1, "a withdrawn item is not in the window");
    let card = &list["items"][0];
    shop.assert_described("ItemPage", &list);
    shop.assert_described("ItemCard", card);
    assert_eq!(
        (&card["price"], &card["discountRate"], &card["name"]),
        (&json!(8_750), &json!(12.5), &json!("홍삼 \"1\""))
    );
    let found = shop.read(user, "/api/items?keyword=%ED%99%8D%EC%82%BC%202").await.json();
    assert_eq!(found["pageInfo"]["totalElements"], 1);

    let detail = shop.read(user, &format!("/api/items/{withdrawn}")).await.json();
    shop.assert_described("ItemDetail", &detail);
    assert_eq!(detail["onSale"], false);

    let main = shop.read(user, "/api/items/main").await.json();
    assert_eq!(main["newest"][0]["itemId"], ItemId::of(&report_no(2)).to_string());
    let categories = shop.read(user, "/api/categories").await.json();
    shop.assert_described("CategoryList", &categories);
    assert_eq!(categories["categories"][0]["itemCount"], 1);
}

/// Pitfalls D1, D11 and E12: a change is visible to whoever made it, at once and whole.
#[tokio::test]
async fn a_cart_shows_what_was_put_in_and_what_has_changed_since() {
    let mut shop = Shop::open().await;
    let user = somebody();
    let item_id = ItemId::of(&report_no(1));
    shop.record(item_id.uuid(), &registered(1, 10_000, 0, Category::Eye)).await;
    let cart = CartKey { user_id: user, kind: CartKind::OneOff };
    let added = CartEvent::ItemAdded {
        cart,
        item_id,
        item_name: text("홍삼"),
        requested: Quantity::ONE,
        quantity: Quantity::ONE,
        period: None,
        unit_price: won(10_000),
    };
    shop.record(cart.id().uuid(), &added).await;
    let before = shop.read(user, "/api/carts/one-off").await;
    assert_eq!(before.header("etag"), "\"1\"");
    assert_eq!(before.json()["lines"][0]["priceChanged"], false);

    shop.record(item_id.uuid(), &ItemEvent::Repriced { origin_price: won(12_000) }).await;
    let after = shop.read(user, "/api/carts/one-off").await.json();
    shop.assert_described("Cart", &after);
    shop.assert_described("CartLine", &after["lines"][0]);
    assert_eq!(after["lines"][0]["snapshotPrice"], 10_000);
    assert_eq!(after["lines"][0]["currentPrice"], 12_000);
    assert_eq!(after["lines"][0]["priceChanged"], true);
    assert_eq!(after["totals"]["payableTotal"], 12_000);
}

fn placed(order_id: OrderId, user_id: UserId, receiver: Sealed<Receiver>) -> OrderEvent {
    let line = OrderLine {
        line_no: 1,
        item_id: ItemId::of(&report_no(1)),
        item_name: text("홍삼"),
        origin_price: won(10_000),
        discount_rate: DiscountRate::NONE,
        unit_price: won(10_000),
        quantity: Quantity::ONE,
        period: None,
    };
    OrderEvent::Placed {
        order_id,
        number: OrderNumber::try_from("261123-7K2M9QXA".to_owned()).unwrap(),
        user_id,
        kind: OrderKind::OneOff,
        from_cart: false,
        lines: vec![line],
        total: won(10_000),
        tax_free: Won::ZERO,
        vat: won(909),
        receiver,
        placed_at: now(),
        expires_at: now() + TimeDelta::minutes(30),
    }
}

/// An order's way from placing to a refund, up to (not including) each point a test looks at.
fn course(refund: RefundId) -> [OrderEvent; 5] {
    [
        OrderEvent::PaymentRequested {
            attempt: 1,
            partner_order_id: text("x-1"),
            item_name: text("홍삼"),
            quantity: 1,
            amount: won(10_000),
            tax_free: Won::ZERO,
            vat: won(909),
            recurring: false,
            requested_at: now(),
        },
        OrderEvent::PaymentReady {
            attempt: 1,
            tid: text("T1"),
            redirect: RedirectUrls {
                pc: text("https://pay.example/pc"),
                mobile: text("https://pay.example/mobile"),
                app: text("https://pay.example/app"),
            },
            ready_at: now(),
            expires_at: now() + TimeDelta::minutes(15),
            cid: None,
        },
        OrderEvent::PaymentApproved {
            attempt: 1,
            tid: text("T1"),
            aid: text("A1"),
            amount: ApprovedAmount {
                total: won(10_000),
                tax_free: Won::ZERO,
                vat: won(909),
                point: Won::ZERO,
                discount: Won::ZERO,
            },
            method: PaymentMethod::Card,
            approved_at: now(),
            billing_key: None,
        },
        OrderEvent::RefundRequested {
            refund_id: refund,
            attempt: 1,
            tid: text("T1"),
            amount: won(4_000),
            tax_free: Won::ZERO,
            refundable_before: won(10_000),
            by: CancelledBy::User,
            reason: None,
            requested_at: now(),
        },
        OrderEvent::RefundSucceeded {
            refund_id: refund,
            aid: None,
            amount: won(4_000),
            refunded_at: now(),
        },
    ]
}

#[tokio::test]
async fn an_order_is_followed_from_placing_to_refund() {
    let mut shop = Shop::open().await;
    let user = somebody();
    let order = OrderId::new(Uuid::now_v7());
    let sealed = Sealed::from_parts(1, "bm9uY2U=".into(), "eA==".into());
    shop.record(order.uuid(), &placed(order, user, sealed)).await;
    let path = format!("/api/orders/{order}");
    assert_eq!(shop.read(user, &path).await.json()["status"], "PLACED");

    let payment = format!("{path}/payment");
    let expected = [
        ("AWAITING_PAYMENT", "REQUESTED"),
        ("AWAITING_PAYMENT", "READY"),
        ("PAID", "APPROVED"),
        ("PAID", "APPROVED"),
        ("PARTLY_REFUNDED", "APPROVED"),
    ];
    for (event, (order_status, payment_status)) in
        course(RefundId::new(Uuid::now_v7())).iter().zip(expected)
    {
        shop.record(order.uuid(), event).await;
        let shown = shop.read(user, &path).await.json();
        let paid = shop.read(user, &payment).await.json();
        assert_eq!(
            (&shown["status"], &paid["status"]),
            (&json!(order_status), &json!(payment_status))
        );
        assert_eq!(paid.get("redirect").is_some(), payment_status == "READY", "{paid}");
        shop.assert_described("Payment", &paid);
    }
    let answer = shop.read(user, &path).await;
    assert_eq!(answer.header("etag"), "\"6\"");
    let shown = answer.json();
    shop.assert_described("OrderDetail", &shown);
    shop.assert_described("OrderLine", &shown["lines"][0]);
    shop.assert_described("Refund", &shown["refunds"][0]);
    assert_eq!((&shown["paidTotal"], &shown["refundedTotal"]), (&json!(10_000), &json!(4_000)));
    assert!(shown.get("receiver").is_none(), "there is no key for it");

    let list = shop.read(user, "/api/orders?status=PARTLY_REFUNDED").await.json();
    assert_eq!(list["orders"][0]["id"], order.to_string());
    shop.assert_described("OrderSummary", &list["orders"][0]);
}

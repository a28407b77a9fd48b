//! The caller's orders: their own, page by page, with payments, refunds and receiver.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::personal::{AddressPart, Sealed};
use contracts::{Address, OrderId, Phone, Receiver, ReceiverName, UserId, seals};
use serde_json::{Value, json};
use service_kit::clock::{Clock, SystemClock};
use uuid::Uuid;

use crate::app::{TestApp, somebody};

fn noon() -> DateTime<Utc> {
    "2026-11-23T03:00:00Z".parse().unwrap()
}

fn receiver() -> Receiver {
    let part = |text| AddressPart::parse(text).unwrap();
    Receiver {
        name: ReceiverName::parse("홍길동").unwrap(),
        phone: Phone::parse("010-1234-5678").unwrap(),
        address: Address { zip: part("04524"), city: part("서울 중구"), detail: part("3층") },
    }
}

/// An order with good defaults; a test says what matters to it.
struct Order {
    id: OrderId,
    user: UserId,
    status: &'static str,
    placed_at: DateTime<Utc>,
    payments: Value,
    receiver: String,
}

impl Order {
    fn of(user: UserId) -> Self {
        let sealed: Sealed<Receiver> = Sealed::from_parts(1, "bm9uY2U=".into(), "eA==".into());
        Self {
            id: OrderId::new(Uuid::now_v7()),
            user,
            status: "PLACED",
            placed_at: noon(),
            payments: json!([]),
            receiver: serde_json::to_string(&sealed).unwrap(),
        }
    }

    async fn put(&self, app: &TestApp) {
        let id = self.id.uuid();
        let number = format!("261123-{}", &id.simple().to_string()[24..].to_uppercase());
        let lines = json!([{
            "lineNo": 1, "itemId": Uuid::from_u128(1), "itemName": "홍삼", "originPrice": 10_000,
            "discountRate": 12.5, "unitPrice": 8_750, "quantity": 2, "lineTotal": 17_500,
        }]);
        let refunds = json!([{
            "id": Uuid::from_u128(9), "status": "SUCCEEDED", "amount": 500, "requestedAt": "2026-11-23T13:00:00+09:00",
            "refundedAt": "2026-11-23T13:00:01+09:00",
        }]);
        let expires_at = self.placed_at + TimeDelta::hours(1);
        app.db
            .client()
            .await
            .execute(
                "insert into order_history_v1 (order_id, number, user_id, kind, status, title, \
                 line_count, placed_at, expires_at, total, tax_free, vat, paid, refunded, lines, \
                 payments, refunds, receiver, facts, version, position) \
                 values ($1, $2, $3, 'one_off', $4, '홍삼', 1, $5, $6, 17500, 0, 1591, 17500, 500, \
                 $7, $8, $9, $10, '{}', 5, 1)",
                &[
                    &id,
                    &number,
                    &self.user.uuid(),
                    &self.status,
                    &self.placed_at,
                    &expires_at,
                    &lines.to_string(),
                    &self.payments.to_string(),
                    &refunds.to_string(),
                    &self.receiver,
                ],
            )
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn an_order_is_shown_whole_to_its_owner() {
    let app = TestApp::start().await;
    let user = somebody();
    let vault = app.vault();
    vault.create_user_key(user).await.unwrap();
    let mut order = Order { status: "PAID", ..Order::of(user) };
    let stream = seals::order_stream(order.id);
    let sealed = vault.seal(user, &stream, seals::RECEIVER, &receiver()).await.unwrap();
    order.receiver = serde_json::to_string(&sealed).unwrap();
    order.payments = json!([
        {
            "attempt": 1, "status": "DECLINED", "amount": 17_500,
            "requestedAt": "2026-11-23T12:01:00+09:00",
            "reason": "soft",
        },
        {
            "attempt": 2, "status": "APPROVED", "amount": 17_500,
            "requestedAt": "2026-11-23T12:03:00+09:00", "method": "CARD",
            "approvedAt": "2026-11-23T12:04:00+09:00",
        },
    ]);
    order.put(&app).await;

    let answer = app.get_as(user, &format!("/api/orders/{}", order.id)).await;

    assert_eq!(answer.header("etag"), "\"5\"");
    let body = answer.json();
    assert_eq!(body["placedAt"], "2026-11-23T12:00:00+09:00");
    assert_eq!(body["status"], "PAID");
    assert_eq!(body["lines"][0]["discountRate"], 12.5);
    assert_eq!(body["receiver"]["name"], "홍길동");
    assert_eq!(body["receiver"]["phone"], "01012345678");
    assert_eq!(body["payments"][0]["reason"], "soft");
    assert_eq!(body["payments"][1]["approvedAt"], "2026-11-23T12:04:00+09:00");
    assert_eq!(body["refunds"][0]["status"], "SUCCEEDED");
    assert_eq!((&body["paidTotal"], &body["refundedTotal"]), (&json!(17_500), &json!(500)));
    let text = body.to_string();
    for hidden in ["ciphertext", "facts"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
}

#[tokio::test]
async fn the_receiver_is_absent_once_the_owners_key_is_destroyed() {
    let app = TestApp::start().await;
    let user = somebody();
    let vault = app.vault();
    vault.create_user_key(user).await.unwrap();
    let mut order = Order::of(user);
    let stream = seals::order_stream(order.id);
    let sealed = vault.seal(user, &stream, seals::RECEIVER, &receiver()).await.unwrap();
    order.receiver = serde_json::to_string(&sealed).unwrap();
    order.put(&app).await;
    vault.destroy_user_key(user).await.unwrap();

    let body = app.get_as(user, &format!("/api/orders/{}", order.id)).await.json();

    assert!(body.get("receiver").is_none(), "{body}");
    assert_eq!(body["lines"][0]["itemName"], "홍삼");
}

/// Pitfall A5: somebody else's order is not found rather than refused.
#[tokio::test]
async fn a_foreign_order_is_answered_like_one_that_does_not_exist() {
    let app = TestApp::start().await;
    let (owner, other) = (somebody(), somebody());
    let order = Order { payments: json!([]), ..Order::of(owner) };
    order.put(&app).await;
    for path in ["", "/payment"] {
        let foreign = app.get_as(other, &format!("/api/orders/{}{path}", order.id)).await;
        let absent = app.get_as(other, &format!("/api/orders/{}{path}", Uuid::now_v7())).await;
        let told = |problem: Value| (problem["code"].clone(), problem["detail"].clone());
        assert_eq!(told(foreign.problem(404)), told(absent.problem(404)), "{path}");
    }
    let list = app.get_as(other, "/api/orders").await.json();
    assert_eq!((&list["orders"], &list["pageInfo"]["totalElements"]), (&json!([]), &json!(0)));
}

/// Pitfall E8: pages are of orders, of every status.
#[tokio::test]
async fn every_order_of_the_caller_is_on_exactly_one_page_newest_first() {
    let app = TestApp::start().await;
    let (user, other) = (somebody(), somebody());
    let mut expected = Vec::new();
    for n in 0..23 {
        // Pairs were placed in the same instant, so that the id must break the tie.
        let placed_at = noon() + TimeDelta::seconds(n / 2);
        let status = if n % 3 == 0 { "PAID" } else { "EXPIRED" };
        let order = Order { status, placed_at, ..Order::of(user) };
        order.put(&app).await;
        Order::of(other).put(&app).await;
        expected.push((placed_at, order.id.to_string(), status));
    }
    expected.sort();
    expected.reverse();
    let ids = |status: Option<&str>| -> Vec<String> {
        let of_status = |it: &&(_, _, &str)| status.is_none_or(|status| status == it.2);
        expected.iter().filter(of_status).map(|(_, id, _)| id.clone()).collect()
    };
    for (filter, expected) in [("", ids(None)), ("status=PAID&", ids(Some("PAID")))] {
        let mut found = Vec::new();
        for page in 1..=6 {
            let path = format!("/api/orders?{filter}size=5&page={page}");
            let body = app.get_as(user, &path).await.json();
            let info = &body["pageInfo"];
            assert_eq!(info["totalElements"], expected.len(), "{path}");
            assert_eq!(info["totalPages"], expected.len().div_ceil(5), "{path}");
            let orders = body["orders"].as_array().unwrap();
            found.extend(orders.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        }
        assert_eq!(found, expected, "{filter}");
    }
}

#[tokio::test]
async fn a_payment_says_where_to_pay_while_its_page_is_open() {
    let app = TestApp::start().await;
    let user = somebody();
    let unpaid = Order::of(user);
    unpaid.put(&app).await;
    let path = format!("/api/orders/{}/payment", unpaid.id);
    assert_eq!(app.get_as(user, &path).await.problem(404)["code"], "payment.not_found");

    let redirect =
        json!({ "pc": "https://pay/pc", "mobile": "https://pay/m", "app": "https://pay/a" });
    let order = Order {
        status: "AWAITING_PAYMENT",
        payments: json!([{
            "attempt": 1, "status": "READY", "amount": 17_500,
            "requestedAt": "2026-11-23T12:01:00+09:00", "expiresAt": "2026-11-23T12:16:00+09:00",
            "redirect": redirect,
        }]),
        ..Order::of(user)
    };
    order.put(&app).await;
    let path = format!("/api/orders/{}/payment", order.id);
    let body = app.get_as(user, &path).await.json();
    assert_eq!(
        body,
        json!({
            "attempt": 1, "status": "READY", "amount": 17_500, "redirect": redirect,
            "requestedAt": "2026-11-23T12:01:00+09:00", "expiresAt": "2026-11-23T12:16:00+09:00",
        })
    );
}

/// The job that records it comes by once a minute; nobody is shown a page to pay on until then.
#[tokio::test]
async fn an_order_shows_as_expired_from_its_end_on_and_not_while_it_is_being_approved() {
    let app = TestApp::start().await;
    let user = somebody();
    let now = SystemClock.now();
    let attempt = |status: &str| {
        json!([{
            "attempt": 1, "status": status, "amount": 17_500, "requestedAt": "2026-11-23T12:01:00+09:00",
        }])
    };
    let (over, open) = (now - TimeDelta::hours(2), now);
    for (placed_at, status, payments, shown) in [
        (over, "PLACED", json!([]), "EXPIRED"),
        (over, "DECLINED", attempt("DECLINED"), "EXPIRED"),
        (over, "AWAITING_PAYMENT", attempt("READY"), "EXPIRED"),
        (over, "AWAITING_PAYMENT", attempt("APPROVING"), "AWAITING_PAYMENT"),
        (over, "PAID", attempt("APPROVED"), "PAID"),
        (over, "EXPIRED", json!([]), "EXPIRED"),
        (open, "AWAITING_PAYMENT", attempt("READY"), "AWAITING_PAYMENT"),
        (open, "PLACED", json!([]), "PLACED"),
    ] {
        let order = Order { status, placed_at, payments, ..Order::of(user) };
        order.put(&app).await;
        let one = app.get_as(user, &format!("/api/orders/{}", order.id)).await.json();
        assert_eq!(one["status"], shown, "{status} {one}");
    }
    for (filter, count) in
        [("EXPIRED", 4), ("AWAITING_PAYMENT", 2), ("PLACED", 1), ("DECLINED", 0), ("PAID", 1)]
    {
        let list = app.get_as(user, &format!("/api/orders?status={filter}")).await.json();
        assert_eq!(list["pageInfo"]["totalElements"], count, "{filter}");
        let orders = list["orders"].as_array().unwrap();
        assert_eq!(orders.len(), count, "{filter}");
        assert!(orders.iter().all(|order| order["status"] == filter), "{filter}");
    }
}

//! A merchant without a client library: plain JSON over plain HTTP, as a blog post would do it.

use kakaopay_sim::{SimConfig, SimHandle, Simulator};
use serde_json::{Value, json};

pub(crate) const ONE_TIME: &str = "TC0ONETIME";
pub(crate) const RECURRING: &str = "TCSUBSCRIP";

pub(crate) struct Merchant {
    pub(crate) sim: SimHandle,
    pub(crate) http: reqwest::Client,
}

/// Status and body.
pub(crate) type Answer = (u16, Value);

impl Merchant {
    pub(crate) async fn open() -> Self {
        Self::with(SimConfig::default()).await
    }

    pub(crate) async fn with(config: SimConfig) -> Self {
        let sim = Simulator::start(config).await.expect("a simulator");
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        Self { sim, http }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sim.base_url())
    }

    pub(crate) async fn call(&self, path: &str, body: &Value) -> Answer {
        let response = self
            .http
            .post(self.url(&format!("/online/v1/payment/{path}")))
            .header("authorization", "SECRET_KEY DEV1234")
            .json(body)
            .send()
            .await
            .expect("an answer");
        answer(response).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.http.get(self.url(path)).send().await.expect("an answer")).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        answer(self.http.put(self.url(path)).json(body).send().await.expect("an answer")).await
    }

    /// Opens a payment; returns its name and the path of its page.
    pub(crate) async fn ready(&self, cid: &str) -> (String, String) {
        self.opened(&ready(cid)).await
    }

    async fn opened(&self, body: &Value) -> (String, String) {
        let (status, body) = self.call("ready", body).await;
        assert_eq!(status, 200, "{body}");
        let page = body["next_redirect_pc_url"].as_str().expect("a page");
        let page = page.strip_prefix(self.sim.base_url()).expect("its own host");
        (text(&body, "tid"), page.to_owned())
    }

    /// Follows a path as a browser would, up to the first redirect.
    pub(crate) async fn redirected(&self, path: &str) -> (u16, String) {
        let response = self.http.get(self.url(path)).send().await.expect("an answer");
        location(&response)
    }

    pub(crate) async fn paid(&self, cid: &str) -> Value {
        self.paid_for(&ready(cid)).await
    }

    /// Pays what a ready call asked for; returns the answer to the approval.
    pub(crate) async fn paid_for(&self, body: &Value) -> Value {
        let (tid, page) = self.opened(body).await;
        let cid = body["cid"].as_str().expect("a cid");
        let (_, url) = self.redirected(&format!("{page}?auto=approve")).await;
        let (status, body) = self.call("approve", &approve(cid, &tid, &token(&url))).await;
        assert_eq!(status, 200, "{body}");
        body
    }
}

pub(crate) fn location(response: &reqwest::Response) -> (u16, String) {
    let location = response.headers().get("location");
    let location = location.map_or("", |value| value.to_str().expect("text"));
    (response.status().as_u16(), location.to_owned())
}

pub(crate) fn token(url: &str) -> String {
    url.rsplit_once("pg_token=").expect("a token").1.to_owned()
}

pub(crate) fn text(body: &Value, field: &str) -> String {
    body[field].as_str().expect("text").to_owned()
}

async fn answer(response: reqwest::Response) -> Answer {
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or(Value::Null))
}

pub(crate) fn ready(cid: &str) -> Value {
    json!({
        "cid": cid, "partner_order_id": "order-1", "partner_user_id": "user-1",
        "item_name": "red ginseng", "quantity": "1", "total_amount": "2200",
        "tax_free_amount": "0", "approval_url": "https://shop.example/return?order=1",
        "cancel_url": "https://shop.example/cancel", "fail_url": "https://shop.example/fail",
    })
}

pub(crate) fn approve(cid: &str, tid: &str, token: &str) -> Value {
    json!({
        "cid": cid, "tid": tid, "partner_order_id": "order-1", "partner_user_id": "user-1",
        "pg_token": token,
    })
}

#[tokio::test]
async fn numbers_are_taken_as_text_and_taxed_by_default() {
    let merchant = Merchant::open().await;
    let body = merchant.paid(ONE_TIME).await;
    assert_eq!(body["amount"]["total"], 2_200);
    assert_eq!(body["amount"]["vat"], 200);
    assert!(body.get("status").is_none(), "an approval has no status");
    assert!(body.get("undocumented").is_some(), "answers hold more than is documented");
}

#[tokio::test]
async fn one_wrong_field_is_refused_by_name() {
    let merchant = Merchant::open().await;
    for (field, value) in [
        ("cid", json!(null)),
        ("cid", json!("TC0ONETIME1")),
        ("partner_order_id", json!("")),
        ("partner_user_id", json!("u".repeat(101))),
        ("item_name", json!(7)),
        ("quantity", json!(0)),
        ("total_amount", json!("12.5")),
        ("tax_free_amount", json!(-1)),
        ("approval_url", json!(format!("https://shop.example/{}", "a".repeat(255)))),
        ("approval_url", json!("not an address")),
        ("payment_method_type", json!("GOLD")),
        ("install_month", json!(13)),
        ("available_cards", json!("SHINHAN")),
    ] {
        let mut body = ready(ONE_TIME);
        body[field] = value.clone();
        let (status, answer) = merchant.call("ready", &body).await;
        assert_eq!((status, &answer["error_code"]), (400, &json!(-2)), "{field} = {value}");
        assert_eq!(text(&answer, "error_message"), format!("{field} has invalid value"));
    }
}

#[tokio::test]
async fn sums_that_contradict_one_another_are_refused() {
    let merchant = Merchant::open().await;
    for (field, value) in [("tax_free_amount", 2_201), ("vat_amount", 2_201)] {
        let mut body = ready(ONE_TIME);
        body[field] = json!(value);
        assert_eq!(merchant.call("ready", &body).await.1["error_code"], -722, "{field}");
    }
}

#[tokio::test]
async fn the_newer_numbering_of_wrong_fields_is_a_setting() {
    let config = SimConfig { parameter_code: -400, ..SimConfig::default() };
    let merchant = Merchant::with(config).await;
    let answer = merchant.call("ready", &json!({ "cid": ONE_TIME })).await;
    assert_eq!(answer.1["error_code"], -400);
    let answer = merchant.call("ready", &json!(["no", "object"])).await;
    assert_eq!(answer.1["error_code"], -400);
}

#[tokio::test]
async fn a_korean_name_without_a_charset_is_refused_where_that_is_set() {
    let config = SimConfig { demand_charset: true, ..SimConfig::default() };
    let merchant = Merchant::with(config).await;
    let mut body = ready(ONE_TIME);
    body["item_name"] = json!("홍삼");
    let (_, answer) = merchant.call("ready", &body).await;
    assert_eq!(answer["error_code"], -400);
    assert_eq!(text(&answer, "error_message"), "item_name has invalid value");
}

#[tokio::test]
async fn a_header_of_the_old_api_is_refused() {
    let merchant = Merchant::open().await;
    for header in ["KakaoAK DEV1234", "SECRET_KEY", "SECRET_KEY  ", "secret_key DEV1234"] {
        let response = merchant
            .http
            .post(merchant.url("/online/v1/payment/ready"))
            .header("authorization", header)
            .json(&ready(ONE_TIME))
            .send()
            .await
            .expect("an answer");
        let (status, body) = answer(response).await;
        assert_eq!((status, &body["error_code"]), (401, &json!(-401)), "{header}");
    }
}

#[tokio::test]
async fn more_than_was_paid_cannot_be_cancelled() {
    let merchant = Merchant::open().await;
    let tid = text(&merchant.paid(ONE_TIME).await, "tid");
    let cancel = |amount: i64| {
        json!({
            "cid": ONE_TIME, "tid": tid, "cancel_amount": amount, "cancel_tax_free_amount": 0,
        })
    };
    assert_eq!(merchant.call("cancel", &cancel(2_201)).await.1["error_code"], -711);
    assert_eq!(merchant.call("cancel", &cancel(1_000)).await.0, 200);
    assert_eq!(merchant.call("cancel", &cancel(1_000)).await.0, 200, "two equal ones are two");
    assert_eq!(merchant.call("cancel", &cancel(201)).await.1["error_code"], -710);
    let (_, last) = merchant.call("cancel", &cancel(200)).await;
    assert_eq!(last["status"], "CANCEL_PAYMENT");
    assert_eq!(last["canceled_amount"], last["amount"]);
}

#[tokio::test]
async fn only_so_many_payments_are_remembered_and_orphans_go_first() {
    let config = SimConfig { payments_max: 2, ..SimConfig::default() };
    let merchant = Merchant::with(config).await;
    let paid = text(&merchant.paid(ONE_TIME).await, "tid");
    let (orphan, _) = merchant.ready(ONE_TIME).await;
    assert_eq!(merchant.call("ready", &ready(ONE_TIME)).await.1["error_code"], -10);

    merchant.put("/__sim/clock", &json!({ "advance_seconds": 86_400 })).await;
    let (fresh, _) = merchant.ready(ONE_TIME).await;
    assert_eq!(merchant.get(&format!("/__sim/orders/{orphan}")).await.0, 404);
    for tid in [paid, fresh] {
        assert_eq!(merchant.get(&format!("/__sim/orders/{tid}")).await.0, 200);
    }
}

#[tokio::test]
async fn a_seed_repeats_the_names() {
    let names = async || {
        let config = SimConfig { seed: Some(7), ..SimConfig::default() };
        let merchant = Merchant::with(config).await;
        (merchant.ready(ONE_TIME).await.0, merchant.ready(RECURRING).await.0)
    };
    assert_eq!(names().await, names().await);
}

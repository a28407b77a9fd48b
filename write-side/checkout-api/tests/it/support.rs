//! The world of a test: the whole API over a database of its own, items on sale, people with
//! accounts, and a hand that plays the relay.

use std::sync::Arc;
use std::time::Duration;

use checkout_api::{CheckoutConfig, FeedWatcher, LimitConfig, NewAdmin, assemble, create_admin};
use chrono::{DateTime, TimeDelta, Utc};
use contracts::events::{ItemDetails, RedirectUrls};
use contracts::{
    Actor, Category, DiscountRate, ItemId, Metadata, OrderId, ReportNo, Text, UserId, Won,
};
use domain::Principal;
use domain::item::{Item, ItemCommand, ItemTerms};
use domain::order::{Order, OrderCommand, Stage};
use event_store::{CommandContext, Executor, ExecutorOptions, PgEventStore, StoreSizes};
use poem::Response;
use poem::endpoint::BoxEndpoint;
use poem::http::{Method, StatusCode};
use poem::test::TestClient;
use serde_json::{Value, json};
use service_kit::clock::{BoxFuture, Clock, SharedClock, SystemClock};
use service_kit::config::Secret;
use service_kit::return_url::ReturnUrls;
use service_kit::shutdown::{self, ShutdownTrigger};
use service_kit::tokens::public_key_of;
use testkit::{Login, TestDatabase, eventually};
use uuid::Uuid;

/// Longest wait for something that happens by itself; a passing test never waits for it.
pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const PASSWORD: &str = "correct-horse-1!";
pub(crate) const ADMIN_EMAIL: &str = "admin@example.com";

/// The machine's clock, on which a pause of a second or more never ends: whoever goes on within a
/// test was woken and did not just look again.
#[derive(Debug)]
struct NoLongPauses;

impl Clock for NoLongPauses {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now()
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<'_, ()> {
        if pause < Duration::from_secs(1) {
            return SystemClock.sleep(pause);
        }
        Box::pin(std::future::pending())
    }
}

/// The API as it is put together for production, without sockets.
pub(crate) struct TestApp {
    pub(crate) api: TestClient<BoxEndpoint<'static>>,
    pub(crate) admin: TestClient<BoxEndpoint<'static>>,
    pub(crate) ops: TestClient<BoxEndpoint<'static>>,
    pub(crate) config: CheckoutConfig,
    pub(crate) items: Executor<Item>,
    pub(crate) orders: Executor<Order>,
    pub(crate) database: Arc<TestDatabase>,
    trigger: ShutdownTrigger,
}

/// Somebody with an account, logged in.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) user_id: UserId,
    pub(crate) token: String,
}

/// One answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: poem::http::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let text = body.into_string().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The answer, which must have this status.
    #[track_caller]
    pub(crate) fn with(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }

    /// The answer, which must be a problem with this status and code.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        let answer = self.with(status);
        assert_eq!(answer.body["code"], code, "{}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        answer
    }
}

/// A request under construction; sends what is there.
pub(crate) struct Call<'a> {
    client: &'a TestClient<BoxEndpoint<'static>>,
    method: Method,
    path: String,
    token: Option<&'a str>,
    headers: Vec<(&'a str, String)>,
    body: Option<Value>,
}

impl<'a> Call<'a> {
    pub(crate) fn by(mut self, person: &'a Person) -> Self {
        self.token = Some(&person.token);
        self
    }

    pub(crate) fn header(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub(crate) fn json(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(crate) async fn send(self) -> Answer {
        let mut request = self.client.request(self.method, self.path);
        if let Some(token) = self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = self.body {
            request = request.body_json(&body);
        }
        Answer::of(request.send().await.0).await
    }
}

pub(crate) fn call<'a>(
    client: &'a TestClient<BoxEndpoint<'static>>,
    method: &str,
    path: impl Into<String>,
) -> Call<'a> {
    Call {
        client,
        method: method.parse().unwrap(),
        path: path.into(),
        token: None,
        headers: Vec::new(),
        body: None,
    }
}

/// 32 bytes in base64.
const SIGNING_KEY: &str = "dG9rZW4tdG9rZW4tdG9rZW4tdG9rZW4tdG9rZW4tISE=";

fn config(database: &TestDatabase) -> CheckoutConfig {
    let mut config = CheckoutConfig::load(|name| {
        Some(match name {
            "DATABASE_URL" => database.url_as(Login::Writer),
            // Nobody listens there: everything works without Redis.
            "REDIS_URL" => "redis://127.0.0.1:1".to_owned(),
            "ACCESS_TOKEN_SIGNING_KEY" => SIGNING_KEY.to_owned(),
            "ACCESS_TOKEN_VERIFYING_KEYS" => public_key_of(&Secret::from(SIGNING_KEY)).unwrap(),
            "DIGEST_PEPPER" => "pepper of the tests, 32 bytes or more".to_owned(),
            "RETURN_URL_KEY" => "return key of the tests, 32 bytes or more".to_owned(),
            "MASTER_KEY" => "Q0hBT1MtbWFzdGVyLWtleS0zMi1ieXRlcy1sb25nISE=".to_owned(),
            "PUBLIC_BASE_URL" => "https://shop.example".to_owned(),
            "CORS_ORIGINS" => "https://partner.example".to_owned(),
            _ => return None,
        })
    })
    .unwrap();
    config.feed_watcher = FeedWatcher::Own;
    // Tests of the limits turn theirs on; the others are quicker than a person.
    config.limits = LimitConfig::OFF;
    config.password_hashes_max = 8;
    config.payment_wait_max = SOON;
    config
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::configured(|_| {}).await
    }

    pub(crate) async fn configured(change: impl FnOnce(&mut CheckoutConfig)) -> Self {
        Self::over(Arc::new(TestDatabase::fresh().await), change).await
    }

    /// Another process over the same database.
    pub(crate) async fn over(
        database: Arc<TestDatabase>,
        change: impl FnOnce(&mut CheckoutConfig),
    ) -> Self {
        let mut config = config(&database);
        change(&mut config);
        let (trigger, shutdown) = shutdown::pair();
        let clock: SharedClock = Arc::new(NoLongPauses);
        let parts = assemble(&config, clock, shutdown.clone(), shutdown).await.unwrap();
        tokio::spawn(parts.background);
        let url = Secret::new(database.url.clone());
        let store = PgEventStore::open(&url, StoreSizes::default()).unwrap();
        Self {
            api: TestClient::new(parts.api),
            admin: TestClient::new(parts.admin),
            ops: TestClient::new(parts.ops),
            config,
            items: Executor::new(Arc::clone(&store), ExecutorOptions::default()),
            orders: Executor::new(store, ExecutorOptions::default()),
            database,
            trigger,
        }
    }

    pub(crate) fn call(&self, method: &str, path: impl Into<String>) -> Call<'_> {
        call(&self.api, method, path)
    }

    pub(crate) fn admin_call(&self, method: &str, path: impl Into<String>) -> Call<'_> {
        call(&self.admin, method, path)
    }

    /// Signs somebody up and logs them in; `name` makes them unique.
    pub(crate) async fn person(&self, name: &str) -> Person {
        let email = format!("{name}@example.com");
        let body = json!({ "email": email, "password": PASSWORD, "displayName": name });
        self.call("POST", "/api/users").json(body).send().await.with(201);
        self.log_in(&email).await
    }

    pub(crate) async fn log_in(&self, email: &str) -> Person {
        let body = json!({ "email": email, "password": PASSWORD });
        let answer = self.call("POST", "/api/auth/login").json(body).send().await.with(200);
        Person {
            user_id: answer.body["userId"].as_str().unwrap().parse().unwrap(),
            token: answer.body["accessToken"].as_str().unwrap().to_owned(),
        }
    }

    pub(crate) async fn administrator(&self) -> Person {
        let admin = NewAdmin {
            email: ADMIN_EMAIL.to_owned(),
            password: Secret::from(PASSWORD),
            display_name: "admin".to_owned(),
        };
        create_admin(&self.config, admin).await.unwrap();
        self.log_in(ADMIN_EMAIL).await
    }

    /// Puts an item of this price on sale, without discount.
    pub(crate) async fn item(&self, price: i64) -> ItemId {
        let digits = Uuid::now_v7().as_u128() % 1_000_000_000_000_000;
        let report_no = ReportNo::try_from(format!("{digits:015}")).unwrap();
        let id = ItemId::of(&report_no);
        let command = ItemCommand::RegisterItem {
            by: Principal::System,
            report_no,
            details: Box::new(details("홍삼정")),
            terms: ItemTerms {
                origin_price: Won::try_from(price).unwrap(),
                discount_rate: DiscountRate::NONE,
                categories: [Category::Etc].into(),
            },
        };
        self.items.dispatch(id.uuid(), command, CommandContext::new(system())).await.unwrap();
        id
    }

    pub(crate) async fn reprice(&self, item: ItemId, price: i64) {
        let origin_price = Won::try_from(price).unwrap();
        let command = ItemCommand::RepriceItem { by: Principal::System, origin_price };
        self.items.dispatch(item.uuid(), command, CommandContext::new(system())).await.unwrap();
    }

    /// Puts `quantity` of `item` into the one-off cart.
    pub(crate) async fn add(&self, person: &Person, item: ItemId, quantity: i64) -> Answer {
        let body = json!({ "itemId": item.to_string(), "quantity": quantity });
        self.call("POST", "/api/carts/one-off/items").by(person).json(body).send().await
    }

    /// Places an order for the one-off cart.
    pub(crate) async fn place(&self, person: &Person, key: &str) -> Answer {
        let body = json!({ "fromCart": "one-off", "receiver": receiver() });
        self.call("POST", "/api/orders").by(person).key(key).json(body).send().await
    }

    /// An order over one piece of a new item of this price.
    pub(crate) async fn placed(&self, person: &Person, price: i64) -> OrderId {
        let item = self.item(price).await;
        self.placed_of(person, item).await
    }

    pub(crate) async fn placed_of(&self, person: &Person, item: ItemId) -> OrderId {
        let lines = json!([{ "itemId": item.to_string(), "quantity": 1 }]);
        let body = json!({ "lines": lines, "receiver": receiver() });
        let key = Uuid::now_v7().to_string();
        let placed = self.call("POST", "/api/orders").by(person).key(&key).json(body).send().await;
        placed.with(201).body["orderId"].as_str().unwrap().parse().unwrap()
    }

    /// Asks to pay.
    pub(crate) async fn pay(&self, person: &Person, order: OrderId, key: &str) -> Answer {
        let path = format!("/api/orders/{order}/payment");
        self.call("POST", path).by(person).key(key).send().await
    }

    /// Asks to pay while the relay opens the page of the attempt.
    pub(crate) async fn pay_page(&self, person: &Person, order: OrderId, key: &str) -> Answer {
        let (answer, ()) = tokio::join!(self.pay(person, order, key), self.open_page(order, 1));
        answer
    }

    /// Plays the relay: waits for the attempt and records `command` for it.
    pub(crate) async fn relay(&self, order: OrderId, attempt: u32, command: OrderCommand) {
        eventually(SOON, || async {
            let state = self.orders.load(order.uuid()).await.unwrap().state;
            let attempt = state.placed()?.attempt(attempt)?;
            matches!(attempt.stage, Stage::Requested).then_some(())
        })
        .await;
        self.record(order, command).await;
    }

    pub(crate) async fn record(&self, order: OrderId, command: OrderCommand) {
        let context = CommandContext::new(system());
        self.orders.dispatch(order.uuid(), command, context).await.unwrap();
    }

    /// Plays the relay: the gateway opened a page.
    pub(crate) async fn open_page(&self, order: OrderId, attempt: u32) {
        let url = |device: &str| Text::parse(&format!("https://pay.example/{device}/1")).unwrap();
        let now = SystemClock.now();
        let ready = OrderCommand::RecordReady {
            attempt,
            tid: Text::parse("T1234567890").unwrap(),
            redirect: RedirectUrls { pc: url("pc"), mobile: url("mobile"), app: url("app") },
            ready_at: now,
            expires_at: now + TimeDelta::minutes(15),
            cid: None,
        };
        self.relay(order, attempt, ready).await;
    }

    pub(crate) async fn order(&self, order: OrderId) -> Order {
        self.orders.load(order.uuid()).await.unwrap().state
    }

    /// The path of the return URL of an attempt, as the relay tells it to the gateway.
    pub(crate) fn return_path(&self, order: OrderId, attempt: u32) -> String {
        let base = &self.config.public_base_url;
        let urls = ReturnUrls::new(&self.config.return_url_key, base).unwrap();
        urls.approval(order, attempt).strip_prefix(base.as_str()).unwrap().to_owned()
    }

    /// One number from the database.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.database.client().await.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// How many events of this name there are.
    pub(crate) async fn events(&self, name: &str) -> i64 {
        self.count(&format!("select count(*) from events where event_type = '{name}'")).await
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.trigger.trigger();
    }
}

pub(crate) fn receiver() -> Value {
    json!({
        "name": "홍길동",
        "phone": "010-1234-5678",
        "address": { "zip": "04524", "city": "서울 중구 세종대로 110", "detail": "3층" },
    })
}

pub(crate) fn system() -> Metadata {
    Metadata {
        actor: Actor::System("test".to_owned()),
        correlation_id: "test".to_owned(),
        causation_id: None,
        idempotency_key: None,
    }
}

fn details(name: &str) -> ItemDetails {
    serde_json::from_value(json!({ "product_name": name })).unwrap()
}

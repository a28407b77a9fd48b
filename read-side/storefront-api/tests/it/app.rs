//! The API of one test, over a database of its own.

use std::sync::Arc;

use poem::Response;
use poem::endpoint::BoxEndpoint;
use poem::http::{HeaderMap, StatusCode};
use poem::test::TestClient;
use serde_json::Value;
use service_kit::clock::{Clock, SystemClock};
use service_kit::config::Secret;
use service_kit::shutdown::{self, ShutdownTrigger};
use service_kit::tokens::{Role, TokenSigner, public_key_of};
use service_kit::vault::{MasterKey, Vault};
use storefront_api::{StorefrontConfig, Switch, assemble};
use testkit::{ChaosProxy, Login, TestDatabase};
use uuid::Uuid;

use contracts::UserId;

/// What checkout-api signs with, 32 bytes in base64. The API under test is never given it.
const SIGNING_KEY: &str = "c3RvcmVmcm9udC1zdG9yZWZyb250LXN0b3JlZnJvbnQ=";
const MASTER_KEY: &str = "Q0hBT1MtbWFzdGVyLWtleS0zMi1ieXRlcy1sb25nISE=";

/// The API with a fresh database; ends when it is dropped.
pub(crate) struct TestApp {
    pub(crate) db: TestDatabase,
    pub(crate) ops: TestClient<BoxEndpoint<'static>>,
    api: TestClient<BoxEndpoint<'static>>,
    tokens: Arc<TokenSigner>,
    shutdown: ShutdownTrigger,
}

impl TestApp {
    /// The API as it is configured by default.
    pub(crate) async fn start() -> Self {
        let db = TestDatabase::fresh().await;
        let url = db.url_as(Login::Reader);
        Self::over(db, &url, Switch::On)
    }

    /// The API that asks the database for everything.
    pub(crate) async fn start_uncached() -> Self {
        let db = TestDatabase::fresh().await;
        let url = db.url_as(Login::Reader);
        Self::over(db, &url, Switch::Off)
    }

    /// The API as it is configured by default, with a proxy between it and its database.
    pub(crate) async fn start_cached_behind_proxy() -> (ChaosProxy, Self) {
        let db = TestDatabase::fresh().await;
        let (proxy, url) = ChaosProxy::before(&db.url_as(Login::Reader)).await;
        (proxy, Self::over(db, &url, Switch::On))
    }

    /// The API that asks the database for everything, with a proxy between the two.
    pub(crate) async fn start_behind_proxy() -> (ChaosProxy, Self) {
        let db = TestDatabase::fresh().await;
        let (proxy, url) = ChaosProxy::before(&db.url_as(Login::Reader)).await;
        (proxy, Self::over(db, &url, Switch::Off))
    }

    fn over(db: TestDatabase, url: &str, cache: Switch) -> Self {
        let mut config = config(url);
        config.cache = cache;
        let (trigger, shutdown) = shutdown::pair();
        let assembled = assemble(&config, SystemClock::shared(), shutdown).unwrap();
        tokio::spawn(assembled.background);
        Self {
            db,
            api: TestClient::new(assembled.api),
            ops: TestClient::new(assembled.ops),
            tokens: Arc::new(signer()),
            shutdown: trigger,
        }
    }

    /// The answer to an anonymous GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    /// The answer to a GET by `user`.
    pub(crate) async fn get_as(&self, user: UserId, path: &str) -> Answer {
        self.get_with(path, &[("authorization", &self.bearer(user))]).await
    }

    /// The answer to a GET with these headers.
    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.api.get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.send().await.0).await
    }

    /// The answer to an anonymous HEAD.
    pub(crate) async fn head(&self, path: &str) -> Answer {
        Answer::of(self.api.head(path).send().await.0).await
    }

    /// The answer to a browser that asks whether a page of `origin` may GET this.
    pub(crate) async fn preflight(&self, path: &str, origin: &str) -> Answer {
        let request = self.api.options(path).header("origin", origin);
        let request = request
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization, min-event-position");
        Answer::of(request.send().await.0).await
    }

    /// The `Authorization` header of `user`.
    pub(crate) fn bearer(&self, user: UserId) -> String {
        let issued = self.tokens.issue(user, Role::User, SystemClock.now()).unwrap();
        format!("Bearer {}", issued.token.expose())
    }

    /// Seals what the API is to open.
    pub(crate) fn vault(&self) -> Vault {
        let master = MasterKey::from_base64(&Secret::from(MASTER_KEY)).unwrap();
        Vault::new(self.db.pool.clone(), master)
    }

    /// Runs SQL that has no answer.
    pub(crate) async fn execute(&self, sql: &str) {
        self.db.client().await.batch_execute(sql).await.unwrap();
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

fn signer() -> TokenSigner {
    let signing_key = Secret::from(SIGNING_KEY);
    let verifying_key = public_key_of(&signing_key).unwrap();
    TokenSigner::new(&signing_key, &verifying_key).unwrap()
}

/// The configuration of an API over the database at `url`.
pub(crate) fn config(url: &str) -> StorefrontConfig {
    let verifying_key = public_key_of(&Secret::from(SIGNING_KEY)).unwrap();
    StorefrontConfig::load(|name| match name {
        "DATABASE_URL" => Some(url.to_owned()),
        "ACCESS_TOKEN_VERIFYING_KEYS" => Some(verifying_key.clone()),
        "MASTER_KEY" => Some(MASTER_KEY.to_owned()),
        "CORS_ORIGINS" => Some("https://partner.example".to_owned()),
        _ => None,
    })
    .unwrap()
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.into_body().into_vec().await.unwrap() }
    }

    /// The body of a 200 as JSON.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The body of a refusal with `status`, which must be a problem.
    pub(crate) fn problem(&self, status: u16) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{text}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{text}");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// A header's value, empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A user nobody else has.
pub(crate) fn somebody() -> UserId {
    UserId::new(Uuid::now_v7())
}

/// SQL for the product page of one item on sale, whose body is `document`.
pub(crate) fn detail(item_id: &str, document: &str) -> String {
    format!(
        "insert into item_detail_v1 (item_id, report_no, name, origin_price, discount_rate, price, \
         on_sale, categories, listed_position, facts, document, version, position) \
         values ('{item_id}', '200400150391', 'x', 1000, 100, 900, true, '{{ETC}}', 1, '{{}}', \
         '{document}', 1, 1)"
    )
}

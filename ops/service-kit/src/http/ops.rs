//! How a process is doing, for whoever runs it: alive, ready, its numbers, its version.
//!
//! Alive means only that it answers. Ready means that it can do its work: a required dependency
//! that is down, or a shutdown under way, makes it 503, and a balancer sends requests elsewhere. An
//! optional one (Redis) is named and changes nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusHandle;
use poem::http::StatusCode;
use poem::http::header::CONTENT_TYPE;
use poem::{EndpointExt, IntoResponse, Request, Response, Route, RouteMethod};
use poem_openapi::OperationId;
use serde_json::{Map, json};
use tokio::time::timeout;

use crate::clock::{BoxFuture, SharedClock};
use crate::pools::RedisHandle;
use crate::shutdown::Shutdown;
use crate::skew::Skew;
use crate::{build, telemetry};

/// Longest wait for one dependency to answer; a balancer asks every few seconds.
const PROBE_WAIT_MAX: Duration = Duration::from_secs(2);

type Probe = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// What a process needs, by name, and how to ask whether it is there.
#[derive(Clone, Default)]
pub struct Health {
    dependencies: Vec<Dependency>,
    shutdown: Option<Shutdown>,
}

#[derive(Clone)]
struct Dependency {
    name: &'static str,
    is_required: bool,
    probe: Probe,
}

impl Health {
    /// Depends on nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds something without which the process is not ready; `probe` says whether it is there.
    #[must_use]
    pub fn requires<F, Fut>(self, name: &'static str, probe: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        self.with(name, true, probe)
    }

    /// Adds something that is missed when it is down, but not needed.
    #[must_use]
    pub fn uses<F, Fut>(self, name: &'static str, probe: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        self.with(name, false, probe)
    }

    /// Requires a PostgreSQL that answers, as `postgres`, and that the log is in it, as `schema`:
    /// `migrator up` makes it.
    #[must_use]
    pub fn requires_postgres(self, pool: Pool) -> Self {
        let asked = pool.clone();
        self.requires("postgres", move || {
            let pool = asked.clone();
            async move { has_log(&pool).await.is_some() }
        })
        .requires("schema", move || {
            let pool = pool.clone();
            // A database that does not answer is reported above.
            async move { has_log(&pool).await.unwrap_or(true) }
        })
    }

    /// Uses a Redis that answers `PING`, as `redis`; nothing that must be right depends on it.
    #[must_use]
    pub fn uses_redis(self, redis: RedisHandle) -> Self {
        self.uses("redis", move || {
            let redis = redis.clone();
            async move { redis.query::<String>(&redis::cmd("PING")).await.is_ok() }
        })
    }

    /// Requires, as `clock`, that `clock` agrees with the database's within a minute: a process that is
    /// ahead would refuse returns from payment pages that still have time. It stays so while the database
    /// is unavailable, which is another dependency's to say.
    #[must_use]
    pub fn requires_right_clock(self, clock: SharedClock, pool: Pool) -> Self {
        self.requires("clock", move || {
            let clock = Arc::clone(&clock);
            let pool = pool.clone();
            async move {
                let Ok(skew) = Skew::measure(&*clock, &pool).await else { return true };
                if skew.is_too_much() {
                    tracing::error!(
                        seconds = skew.seconds(),
                        "this clock differs from the database's"
                    );
                }
                !skew.is_too_much()
            }
        })
    }

    /// Not ready any more once `shutdown` is requested, so that a balancer turns away first.
    #[must_use]
    pub fn until(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = Some(shutdown);
        self
    }

    fn with<F, Fut>(mut self, name: &'static str, is_required: bool, probe: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        let probe: Probe = Arc::new(move || Box::pin(probe()));
        self.dependencies.push(Dependency { name, is_required, probe });
        self
    }

    /// Whether the process can do its work now, with every dependency by name.
    async fn ready(&self) -> Response {
        let probes = self.dependencies.iter().map(|dependency| async move {
            let is_up = timeout(PROBE_WAIT_MAX, (dependency.probe)()).await.unwrap_or(false);
            (dependency, is_up)
        });
        let mut is_ready = true;
        let mut dependencies = Map::new();
        for (Dependency { name, is_required, .. }, is_up) in join_all(probes).await {
            is_ready &= is_up || !is_required;
            let status = if is_up { "up" } else { "down" };
            let entry = json!({ "status": status, "required": is_required });
            dependencies.insert((*name).to_owned(), entry);
        }
        let is_draining = self.shutdown.as_ref().is_some_and(Shutdown::is_requested);
        let (code, status) = match (is_ready, is_draining) {
            (_, true) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
            (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "unready"),
            (true, false) => (StatusCode::OK, "ready"),
        };
        let body = json!({ "status": status, "dependencies": dependencies });
        answer("healthReady", code, "application/json", body.to_string())
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.dependencies.iter().map(|it| it.name)).finish()
    }
}

/// Whether the log is in the database; `None` when the database does not answer.
async fn has_log(pool: &Pool) -> Option<bool> {
    let client = pool.get().await.ok()?;
    let look = "select to_regclass('public.events') is not null";
    client.query_one(look, &[]).await.ok()?.try_get(0).ok()
}

type Fact = Arc<dyn Fn() -> BoxFuture<'static, &'static str> + Send + Sync>;

/// What `/version` answers: the version, the commit, and what else an operator has to know of a build
/// that runs here.
#[derive(Clone)]
pub struct Version {
    version: &'static str,
    facts: Vec<(&'static str, Fact)>,
}

/// The value of a fact that cannot be found out in time.
const FACT_UNKNOWN: &str = "unknown";

impl Version {
    /// Adds the field `name`, whose value `ask` finds out at each request; `unknown` when it takes
    /// longer than a probe may.
    #[must_use]
    pub fn with<F, Fut>(mut self, name: &'static str, ask: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = &'static str> + Send + 'static,
    {
        self.facts.push((name, Arc::new(move || Box::pin(ask()))));
        self
    }

    async fn answer(&self) -> Response {
        let mut body = Map::new();
        body.insert("version".to_owned(), self.version.into());
        body.insert("commit".to_owned(), build::COMMIT.into());
        for (name, ask) in &self.facts {
            let value = timeout(PROBE_WAIT_MAX, ask()).await.unwrap_or(FACT_UNKNOWN);
            body.insert((*name).to_owned(), value.into());
        }
        let body = serde_json::Value::Object(body).to_string();
        answer("version", StatusCode::OK, "application/json", body)
    }
}

impl From<&'static str> for Version {
    fn from(version: &'static str) -> Self {
        Self { version, facts: Vec::new() }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.version)
    }
}

/// `GET /health/live`, `/health/ready`, `/metrics` and `/version`, for a port that only operators
/// reach.
pub fn ops_routes(health: Health, metrics: PrometheusHandle, version: impl Into<Version>) -> Route {
    let version = version.into();
    let live = |_request: Request| async {
        answer("healthLive", StatusCode::OK, "application/json", r#"{"status":"alive"}"#.into())
    };
    let ready = move |_request: Request| {
        let health = health.clone();
        async move { health.ready().await }
    };
    let numbers = move |_request: Request| {
        telemetry::sample();
        let text = metrics.render();
        async move { answer("metrics", StatusCode::OK, "text/plain; version=0.0.4", text) }
    };
    let version = move |_request: Request| {
        let version = version.clone();
        async move { version.answer().await }
    };
    Route::new()
        .at("/health/live", get(live))
        .at("/health/ready", get(ready))
        .at("/metrics", get(numbers))
        .at("/version", get(version))
}

fn get<F, Fut>(handler: F) -> RouteMethod
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    RouteMethod::new().get(poem::endpoint::make(handler).boxed())
}

fn answer(
    operation: &'static str,
    status: StatusCode,
    content_type: &'static str,
    body: String,
) -> Response {
    let mut response =
        body.with_header(CONTENT_TYPE, content_type).with_status(status).into_response();
    response.set_data(OperationId(operation));
    response
}

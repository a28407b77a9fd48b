//! A client that lives through kills: the same request under the same key, until it is answered.
//!
//! A connection refused or cut, a time-out and any 5xx say nothing about whether the request was
//! carried out, so it is sent again exactly as it was; the key makes that harmless.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use service_kit::causes::with_causes;
use service_kit::clock::{SharedClock, SystemClock};

use crate::Failure;

/// Longest wait for one answer; longer than the payment handler's.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(12);
/// Longest time one request is repeated; longer than the longest outage of a run (3 min).
const PATIENCE: Duration = Duration::from_mins(5);
/// Pause before a repetition; grows to the second.
const PAUSE_MIN: Duration = Duration::from_millis(60);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What the gateway refused because of us: another attempt needs another key.
pub(crate) const REFUSED_FOR_GOOD: &str = "payment.unavailable";

/// A browser.
#[derive(Clone)]
pub(crate) struct Browser {
    http: reqwest::Client,
    clock: SharedClock,
    repeated: Arc<AtomicU64>,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Asked<'a> {
    /// `GET`, `POST`, …
    pub(crate) method: Method,
    /// Where.
    pub(crate) url: &'a str,
    /// Who, if signed in.
    pub(crate) token: Option<&'a str>,
    /// From which address, as a proxy reports it.
    pub(crate) from: Option<Ipv4Addr>,
    /// The `Idempotency-Key`.
    pub(crate) key: Option<&'a str>,
    /// JSON.
    pub(crate) body: Option<&'a Value>,
}

impl<'a> Asked<'a> {
    /// A POST without token and key.
    pub(crate) fn post(url: &'a str, body: &'a Value) -> Self {
        Self { method: Method::POST, url, token: None, from: None, key: None, body: Some(body) }
    }
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Where it sends the browser on to.
    pub(crate) location: Option<String>,
    /// Its body, JSON or text.
    pub(crate) body: Value,
}

impl Browser {
    /// A browser that follows no redirect by itself.
    pub(crate) fn new() -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .timeout(ANSWER_WAIT_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, clock: SystemClock::shared(), repeated: Arc::default() })
    }

    /// How many requests were sent again.
    pub(crate) fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// Sends one request until it is answered with something final.
    pub(crate) async fn send(&self, asked: &Asked<'_>) -> Result<Answer, Failure> {
        let begun = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            let why = match self.once(asked).await {
                Ok(answer) if !answer.is_passing() => return Ok(answer),
                Ok(answer) => format!("{} {}", answer.status, answer.body),
                // The address may hold a token.
                Err(error) => with_causes(&error.without_url()),
            };
            if PATIENCE < begun.elapsed() {
                return Err(format!("gave up on {}: {why}", asked.method).into());
            }
            self.repeated.fetch_add(1, Ordering::Relaxed);
            self.pause(pause).await;
            pause = PAUSE_MAX.min(pause * 2);
        }
    }

    /// Waits a little.
    pub(crate) async fn pause(&self, pause: Duration) {
        self.clock.sleep(pause).await;
    }

    async fn once(&self, asked: &Asked<'_>) -> Result<Answer, reqwest::Error> {
        let mut request = self.http.request(asked.method.clone(), asked.url);
        if let Some(token) = asked.token {
            request = request.bearer_auth(token);
        }
        if let Some(address) = asked.from {
            request = request.header("X-Forwarded-For", address.to_string());
        }
        if let Some(key) = asked.key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(body) = asked.body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let location = response.headers().get("location");
        let location = location.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, location, body })
    }
}

impl Answer {
    /// The code of a refusal, such as `order.not_found`; empty when it is none.
    pub(crate) fn code(&self) -> &str {
        self.text("/code").unwrap_or_default()
    }

    /// Whether the same request may get another answer in a moment.
    fn is_passing(&self) -> bool {
        if self.code() == REFUSED_FOR_GOOD {
            return false;
        }
        self.status.is_server_error()
            || self.status == StatusCode::TOO_MANY_REQUESTS
            || self.code() == "request.contended"
    }

    /// The text at `pointer` of the body.
    pub(crate) fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer).and_then(Value::as_str)
    }

    /// The text at `pointer`, which must be there.
    pub(crate) fn needs(&self, pointer: &str) -> Result<String, Failure> {
        let text = self.text(pointer).map(str::to_owned);
        text.ok_or_else(|| format!("{} without {pointer}: {}", self.status, self.body).into())
    }
}

//! The demo's HTTP client: JSON in, JSON out, every failure in words.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use service_kit::clock::{Clock, SystemClock};

use super::Failure;

/// Longest wait for one answer; more than the payment handler's ten seconds.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(20);

/// Longest pause that a rate limit may ask for; the demo edits a cart faster than a person.
const LIMIT_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Requests sent again after such a pause, at most.
const LIMITED_TRIES_MAX: u32 = 5;

/// A shopper's browser or an operator's terminal.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    token: Option<String>,
}

/// One answer: status, headers that matter, body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) position: Option<String>,
    pub(super) replayed: bool,
    retry_after: Option<Duration>,
    pub(super) body: Value,
}

impl Client {
    pub(super) fn new() -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .timeout(ANSWER_WAIT_MAX)
            .build()
            .map_err(|error| Failure::new(format!("build the HTTP client: {error}")))?;
        Ok(Self { http, token: None })
    }

    /// The same client, signed in.
    pub(super) fn signed_in(&self, token: String) -> Self {
        Self { http: self.http.clone(), token: Some(token) }
    }

    /// Sends one request and reads the answer, whatever its status. A rate limit that asks for a short
    /// pause is waited for.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        for _ in 0..LIMITED_TRIES_MAX {
            let answer = self.once(&method, url, body, headers).await?;
            match answer.retry_after {
                Some(pause) if answer.is_limited() && pause <= LIMIT_PAUSE_MAX => {
                    SystemClock.sleep(pause).await;
                }
                Some(_) | None => return Ok(answer),
            }
        }
        self.once(&method, url, body, headers).await
    }

    async fn once(
        &self,
        method: &Method,
        url: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        let mut request = self.http.request(method.clone(), url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let failed = |error| Failure::new(format!("{method} {url}: {error}"));
        let response = request.send().await.map_err(failed)?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let (status, position) = (response.status(), header("event-position"));
        let replayed = header("idempotent-replayed").is_some();
        let retry_after = header("retry-after").and_then(|seconds| seconds.parse().ok());
        let retry_after = retry_after.map(Duration::from_secs);
        let text = response.text().await.map_err(failed)?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, position, replayed, retry_after, body })
    }

    /// `GET`, expecting 200 and JSON.
    pub(super) async fn get(&self, url: &str) -> Result<Value, Failure> {
        self.get_after(url, None).await
    }

    /// `GET` of a state no older than `position`.
    pub(super) async fn get_after(
        &self,
        url: &str,
        position: Option<&str>,
    ) -> Result<Value, Failure> {
        let headers: Vec<(&str, &str)> =
            position.map(|position| ("Min-Event-Position", position)).into_iter().collect();
        self.send(Method::GET, url, None, &headers).await?.expect(StatusCode::OK, url)
    }

    /// `POST`, expecting `status`.
    pub(super) async fn post(
        &self,
        url: &str,
        body: &Value,
        key: Option<&str>,
        status: StatusCode,
    ) -> Result<Answer, Failure> {
        let headers: Vec<(&str, &str)> =
            key.map(|key| ("Idempotency-Key", key)).into_iter().collect();
        let answer = self.send(Method::POST, url, Some(body), &headers).await?;
        if answer.status != status {
            return Err(answer.unexpected(status, url));
        }
        Ok(answer)
    }
}

impl Answer {
    fn is_limited(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS
    }

    /// The body, if the status is as expected.
    pub(super) fn expect(self, status: StatusCode, url: &str) -> Result<Value, Failure> {
        if self.status != status {
            return Err(self.unexpected(status, url));
        }
        Ok(self.body)
    }

    fn unexpected(&self, wanted: StatusCode, url: &str) -> Failure {
        Failure::new(format!("{url} answered {}, not {wanted}: {}", self.status, self.body))
    }
}

/// The text at `pointer` of `value`.
pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> Result<&'v str, Failure> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .ok_or_else(|| Failure::new(format!("no text at {pointer} in {value}")))
}

/// The whole number at `pointer` of `value`.
pub(super) fn number(value: &Value, pointer: &str) -> Result<i64, Failure> {
    value
        .pointer(pointer)
        .and_then(Value::as_i64)
        .ok_or_else(|| Failure::new(format!("no number at {pointer} in {value}")))
}

/// The list at `pointer` of `value`.
pub(super) fn list<'v>(value: &'v Value, pointer: &str) -> Result<&'v [Value], Failure> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .ok_or_else(|| Failure::new(format!("no list at {pointer} in {value}")))
}

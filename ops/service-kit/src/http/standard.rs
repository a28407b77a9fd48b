//! One middleware around each app: id in, limits, the work, problem or answer, headers, metrics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use contracts::ids::UserId;
use futures_util::FutureExt;
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use poem::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use poem::http::{HeaderValue, StatusCode};
use poem::{Endpoint, IntoEndpoint, IntoResponse, Request, Response};
use poem_openapi::OperationId;
use tracing::Instrument;

use super::access::{self, Known};
use super::bodies::Bodies;
use super::client_address::{ClientAddress, TrustedProxies};
use super::errors::problem_from;
use crate::problem::Problem;
use crate::request_id::{self, RequestId};
use crate::security::{self, Who};
use crate::tokens::Role;

/// Requests answered, by service, operation and status.
pub const REQUESTS_TOTAL: &str = "http_requests_total";
/// Seconds from the request's head to the answer's head, by service, operation and status.
pub const REQUEST_SECONDS: &str = "http_request_seconds";

/// The operation of a request that no described operation took.
const OPERATION_NONE: &str = "none";
/// Operations of the operators' listener, which are called every few seconds for ever: their
/// successes are logged at `debug`.
const PROBES: [&str; 4] = ["healthLive", "healthReady", "metrics", "version"];
/// Of this many successes of a sampled operation one is logged.
const SAMPLE: u64 = 100;

/// Pages may run their own script and style (the API browser does); nothing comes from elsewhere.
const POLICY_HTML: &str = "default-src 'self'; script-src 'self' 'unsafe-inline'; \
     style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";
/// Data is no page: nothing in it may be run, shown or framed.
const POLICY_DATA: &str = "default-src 'none'; frame-ancestors 'none'";

/// Describes the access metrics; call it once in `main`.
pub fn describe() {
    super::limit::describe_limits();
    describe_counter!(REQUESTS_TOTAL, Unit::Count, "requests answered");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "time to answer a request");
}

/// `app` with all our manners; `service` is the label of its metrics and log lines.
pub fn standard<A: IntoEndpoint>(service: &'static str, app: A) -> StandardEndpoint<A::Endpoint> {
    StandardEndpoint {
        service,
        app: app.into_endpoint(),
        trusted: TrustedProxies::default(),
        sampled: &[],
        successes: AtomicU64::new(0),
        bodies: Bodies::default(),
    }
}

/// An app with all our manners; made by [`standard`]. It always answers, never errs.
#[derive(Debug)]
pub struct StandardEndpoint<E> {
    service: &'static str,
    app: E,
    trusted: TrustedProxies,
    sampled: &'static [&'static str],
    successes: AtomicU64,
    bodies: Bodies,
}

impl<E> StandardEndpoint<E> {
    /// Takes the word of these proxies about where a request comes from.
    #[must_use]
    pub fn trusting(mut self, proxies: TrustedProxies) -> Self {
        self.trusted = proxies;
        self
    }

    /// Logs only one in a hundred successes of `operations`: reads of the catalogue, which are most
    /// requests and whose single ones say nothing. Refusals and failures are logged all the same.
    #[must_use]
    pub const fn sampling(mut self, operations: &'static [&'static str]) -> Self {
        self.sampled = operations;
        self
    }

    /// The access line, within the request's span.
    fn log(&self, operation: &str, status: StatusCode, took: Duration, caller: Option<UserId>) {
        let is_success = status.as_u16() < 400;
        let ms = took.saturating_mul(1_000).as_secs_f64();
        let status = status.as_u16();
        if is_success && PROBES.contains(&operation) {
            tracing::debug!(
                http.operation = operation,
                http.status = status,
                http.ms = ms,
                "answered"
            );
            return;
        }
        let is_sampled = is_success && self.sampled.contains(&operation);
        if is_sampled && !self.successes.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLE) {
            return;
        }
        tracing::info!(
            http.operation = operation,
            http.status = status,
            http.ms = ms,
            user.id = caller.map(tracing::field::display),
            http.sampled = is_sampled.then_some(SAMPLE),
            "answered"
        );
    }
}

impl<E: Endpoint> Endpoint for StandardEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let started = Instant::now();
        let id = id_of(&request);
        let span = tracing::info_span!(
            "request",
            request_id = %id,
            service = self.service,
            http.method = %request.method(),
        );
        let client = ClientAddress::behind(&self.trusted, &request);
        request.set_data(client);
        let known = Known::of_client(client.0);
        let answered = async {
            let answer = self.answer(request, client).await;
            log_security(&answer, known.caller());
            answer
        };
        let answered = access::scope(Arc::clone(&known), answered).instrument(span.clone());
        let Answer { mut response, operation } = request_id::scope(id.clone(), answered).await;

        dress(&mut response, &id);
        let took = started.elapsed();
        let status = response.status();
        let labels = [
            ("service", self.service.to_owned()),
            ("operation", operation.to_owned()),
            ("status", status.as_u16().to_string()),
        ];
        counter!(REQUESTS_TOTAL, &labels).increment(1);
        histogram!(REQUEST_SECONDS, &labels).record(took);
        let caller = known.caller().map(|(user_id, _)| user_id);
        span.in_scope(|| self.log(operation, status, took, caller));
        Ok(response)
    }
}

/// What an administrator called, reads too, and what a caller's role did not allow.
fn log_security(answer: &Answer, caller: Option<(UserId, Role)>) {
    let status = answer.response.status();
    let who = caller.map_or(Who::Unknown, |(user_id, _)| Who::User(user_id));
    let operation = Some(answer.operation);
    if status == StatusCode::FORBIDDEN {
        security::log_operation("request", "forbidden", who, operation);
    } else if caller.is_some_and(|(_, role)| role == Role::Admin) {
        let outcome = if status.as_u16() < 400 { "done" } else { "refused" };
        security::log_operation("administrator", outcome, who, operation);
    }
}

struct Answer {
    response: Response,
    operation: &'static str,
}

impl Answer {
    fn refused(problem: Problem) -> Self {
        Self { response: problem.into_response(), operation: OPERATION_NONE }
    }
}

impl<E: Endpoint> StandardEndpoint<E> {
    async fn answer(&self, mut request: Request, client: ClientAddress) -> Answer {
        // Held until the answer is there: the handler has the body until then.
        let _place = match self.bodies.take_in(&mut request, client).await {
            Ok(place) => place,
            Err(problem) => return Answer::refused(problem),
        };
        // A panic of one request must not take the connection, let alone the process, along.
        match AssertUnwindSafe(self.app.call(request)).catch_unwind().await {
            Ok(Ok(output)) => {
                let response = output.into_response();
                let operation = response.data::<OperationId>().map_or(OPERATION_NONE, |id| id.0);
                Answer { response, operation }
            }
            Ok(Err(error)) => {
                let operation = error.data::<OperationId>().map_or(OPERATION_NONE, |id| id.0);
                let response = if error.is_from_response() {
                    error.into_response()
                } else {
                    problem_from(&error).into_response()
                };
                Answer { response, operation }
            }
            // The panic hook has written where and why.
            Err(_panic) => {
                tracing::error!("a handler panicked");
                Answer::refused(Problem::internal_unexplained())
            }
        }
    }
}

/// The id the client brought, if it is harmless, else a new one.
fn id_of(request: &Request) -> RequestId {
    request
        .headers()
        .get(request_id::HEADER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(RequestId::generate)
}

/// Adds the headers every answer has. What a handler has set itself stays.
fn dress(response: &mut Response, id: &RequestId) {
    let is_html = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    let policy = if is_html { POLICY_HTML } else { POLICY_DATA };
    let headers = response.headers_mut();
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, policy),
        // Most answers are somebody's own; what a cache may keep, its handler says.
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert(HeaderName::from_static(request_id::HEADER), value);
    }
}

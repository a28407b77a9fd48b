//! Every refusal of an API in one shape: RFC 9457 `application/problem+json`.
//!
//! A [`Problem`] has a status, a stable `code` for programs and a sentence for people. Handlers
//! return `Result<Answer, Problem>`; the OpenAPI document then lists every status under
//! [`STATUSES`]. What went wrong inside is logged here once and never sent: no upstream body, no
//! cause and no stack reaches a client.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use poem::error::ResponseError;
use poem::http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use poem::http::{HeaderValue, StatusCode};
use poem::{IntoResponse, Response};
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object};
use serde::Serialize;

use crate::request_id;

/// The media type of every refusal.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What a client is told to wait before it tries again when the caller names no time.
pub const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// Every status an operation can refuse with, as documented in OpenAPI.
pub const STATUSES: [(u16, &str); 13] = [
    (400, "Malformed request"),
    (401, "Not authenticated; the code says missing, expired or invalid"),
    (403, "The caller's role does not allow this"),
    (404, "No such thing, or not the caller's"),
    (409, "Conflict, or the wrong state for this"),
    (412, "`If-Match` names a version that is no longer current"),
    (413, "The body is larger than 256 KiB"),
    (415, "The body's media type is not supported"),
    (422, "A rule is broken"),
    (429, "Too many requests"),
    (500, "A fault on our side"),
    (503, "Something this needs is away; try again later"),
    (504, "No answer in time"),
];

/// A refusal, ready to be returned from a handler.
#[derive(Clone)]
pub struct Problem(Box<Refusal>);

#[derive(Clone)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    fields: Vec<FieldProblem>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What is wrong with one field of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
pub struct FieldProblem {
    /// JSON pointer into the body (`/lines/0/quantity`), or the parameter's name, or `path`.
    pub pointer: String,
    /// Stable name of what is wrong.
    pub code: String,
    /// The same as a sentence.
    pub detail: String,
}

/// The body of every refusal (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Object)]
#[oai(rename = "Problem")]
pub struct ProblemBody {
    /// URN that ends in `code`.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub problem_type: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, as a sentence that may be reworded.
    pub detail: String,
    /// The request that was refused, as a URN of its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    pub instance: Option<String>,
    /// Stable name of what happened, e.g. `cart.line_limit`; programs decide on this.
    pub code: String,
    /// The id under which the request stands in our logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(rename = "request_id", skip_serializing_if_is_none)]
    pub request_id: Option<String>,
    /// What is wrong with single fields.
    pub errors: Vec<FieldProblem>,
}

impl Problem {
    /// A refusal with any status; `code` is stable, `detail` is a sentence without secrets.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Refusal {
            status,
            code,
            detail: detail.into(),
            fields: Vec::new(),
            headers: Vec::new(),
        }))
    }

    /// 400: the request cannot be read.
    pub fn bad_request(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401 with `WWW-Authenticate: Bearer`: nobody we know is asking.
    pub fn unauthenticated(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        let challenge = HeaderValue::from_static(r#"Bearer realm="pillivery""#);
        Self::new(StatusCode::UNAUTHORIZED, code, detail).with_header(WWW_AUTHENTICATE, challenge)
    }

    /// 403: the caller's role does not allow this. For what isn't the caller's use 404.
    pub fn forbidden(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 404: no such thing, or not the caller's; the two must not be told apart.
    pub fn not_found(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 409: the state does not allow this.
    pub fn conflict(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 412: `If-Match` names a version that is no longer current.
    pub fn precondition_failed(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, code, detail)
    }

    /// 422: readable, but against a rule.
    pub fn unprocessable(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 429 with `Retry-After`.
    pub fn too_many(
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
        pause: Duration,
    ) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail).retry_after(pause)
    }

    /// 503 with `Retry-After` of [`RETRY_AFTER_DEFAULT`]: something this needs is away.
    pub fn unavailable(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(RETRY_AFTER_DEFAULT)
    }

    /// 500: logs `cause` with all its sources, once, and tells the client nothing of it.
    pub fn internal(cause: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = cause, "request failed");
        Self::internal_unexplained()
    }

    /// 500 for a cause that was logged already.
    pub fn internal_unexplained() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong on our side; the request id tells us what",
        )
    }

    /// Adds what is wrong with one field: a JSON pointer or a parameter's name, a code, a sentence.
    #[must_use]
    pub fn with_field(
        mut self,
        pointer: impl Into<String>,
        code: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        self.0.fields.push(FieldProblem {
            pointer: pointer.into(),
            code: code.into(),
            detail: detail.into(),
        });
        self
    }

    /// Sets `Retry-After`, in whole seconds rounded up, at least 1.
    #[must_use]
    pub fn retry_after(self, pause: Duration) -> Self {
        let whole = pause.as_secs().saturating_add(u64::from(0 < pause.subsec_nanos()));
        self.with_header(RETRY_AFTER, HeaderValue::from(whole.max(1)))
    }

    /// Sets a header of the answer; a header of the same name is replaced.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.retain(|(present, _)| *present != name);
        self.0.headers.push((name, value));
        self
    }

    /// The stable name of what happened.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The body as it is sent, with the current request's id.
    pub fn body(&self) -> ProblemBody {
        let request_id = request_id::current().map(|id| id.to_string());
        let status = self.0.status;
        ProblemBody {
            problem_type: format!("urn:pillivery:problem:{}", self.0.code),
            title: status.canonical_reason().unwrap_or("Refused").to_owned(),
            status: status.as_u16(),
            detail: self.0.detail.clone().into_owned(),
            instance: request_id.as_ref().map(|id| format!("urn:pillivery:request:{id}")),
            code: self.0.code.to_owned(),
            request_id,
            errors: self.0.fields.clone(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.status.as_u16(), self.0.code)
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { status, code, detail, fields, .. } = &*self.0;
        f.debug_struct("Problem")
            .field("status", &status.as_u16())
            .field("code", code)
            .field("detail", detail)
            .field("fields", fields)
            .finish_non_exhaustive()
    }
}

impl Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.as_response()
    }
}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.0.status
    }

    fn as_response(&self) -> Response {
        // Only strings and a number: serialising them cannot fail, and an empty body beats a panic.
        let body = serde_json::to_vec(&self.body()).unwrap_or_default();
        let mut response = Response::builder().status(self.0.status).body(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        for (name, value) in &self.0.headers {
            headers.insert(name.clone(), value.clone());
        }
        response
    }
}

impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        let responses = STATUSES
            .into_iter()
            .map(|(status, description)| MetaResponse {
                description,
                status: Some(status),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: MEDIA_TYPE,
                    schema: ProblemBody::schema_ref(),
                }],
                headers: documented_headers(status),
            })
            .collect();
        MetaResponses { responses }
    }

    fn register(registry: &mut Registry) {
        ProblemBody::register(registry);
    }
}

fn documented_headers(status: u16) -> Vec<MetaHeader> {
    let header = |name: &str, description: &str, schema: MetaSchemaRef| MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: true,
        deprecated: false,
        schema,
    };
    match status {
        401 => vec![header(
            "WWW-Authenticate",
            "What to authenticate with, and what was wrong with the token",
            String::schema_ref(),
        )],
        429 | 503 => {
            vec![header(
                "Retry-After",
                "Whole seconds to wait before trying again",
                u64::schema_ref(),
            )]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::request_id::RequestId;

    async fn json_of(response: Response) -> Value {
        serde_json::from_slice(&response.into_body().into_vec().await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_refusal_is_problem_json_with_code_fields_and_request_id() {
        let id: RequestId = "req-7".parse().unwrap();
        let problem = Problem::unprocessable("cart.line_limit", "a cart holds at most 100 lines")
            .with_field("/quantity", "quantity.out_of_range", "expected 1 to 99");

        let response = request_id::scope(id, async { problem.into_response() }).await;

        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(response.headers()[CONTENT_TYPE], MEDIA_TYPE);
        assert_eq!(
            json_of(response).await,
            json!({
                "type": "urn:pillivery:problem:cart.line_limit",
                "title": "Unprocessable Entity",
                "status": 422,
                "detail": "a cart holds at most 100 lines",
                "instance": "urn:pillivery:request:req-7",
                "code": "cart.line_limit",
                "request_id": "req-7",
                "errors": [{
                    "pointer": "/quantity",
                    "code": "quantity.out_of_range",
                    "detail": "expected 1 to 99",
                }],
            })
        );
    }

    #[test]
    fn a_pause_is_rounded_up_to_whole_seconds() {
        for (pause, header) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (90_000, "90")] {
            let problem =
                Problem::too_many("rate.limit", "slow down", Duration::from_millis(pause));
            assert_eq!(problem.into_response().headers()[RETRY_AFTER], header, "{pause} ms");
        }
    }

    /// The schema requires it, and clients generated from it loop over it.
    #[tokio::test]
    async fn errors_are_there_even_if_there_are_none() {
        let body = json_of(Problem::conflict("order.paid", "paid already").into_response()).await;
        assert_eq!(body["errors"], json!([]));
    }

    #[test]
    fn unavailable_says_when_to_come_back() {
        let response = Problem::unavailable("db.away", "try again").into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "1");
    }

    #[tokio::test]
    async fn a_cause_never_reaches_the_client() {
        let cause = std::io::Error::other("password authentication failed for user shop");
        let body = json_of(Problem::internal(&cause).into_response()).await;
        assert!(!body.to_string().contains("password"), "{body}");
        assert_eq!(body["code"], "internal");
    }

    #[test]
    fn a_401_carries_the_challenge() {
        let response = Problem::unauthenticated("auth.token_missing", "log in").into_response();
        assert_eq!(response.headers()[WWW_AUTHENTICATE], r#"Bearer realm="pillivery""#);
    }

    #[test]
    fn every_status_is_documented_as_problem_json() {
        let documented = <Problem as ApiResponse>::meta().responses;
        assert_eq!(documented.len(), STATUSES.len());
        assert!(documented.iter().all(|meta| meta.content[0].content_type == MEDIA_TYPE));
    }
}

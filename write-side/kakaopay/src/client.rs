//! The seven calls over HTTP, and the one place that decides what a failed one means.
//!
//! Where the line between "not sent" and "unknown" runs: an error while connecting (resolution,
//! refusal, TLS, time-out) comes before the first byte of the request. Everything later counts
//! as unknown, also a connection from the pool that turns out dead: its reset may have come
//! after our bytes. (The one repetition below us is of the HTTP library, which takes another
//! connection when a pooled one had closed before any byte of the request was written to it.)

use std::fmt;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode, redirect, retry};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::answers::{Approval, Cancellation, Order, Ready, SidInactivated, SidStatus};
use crate::config::{ClientConfig, ConfigError};
use crate::error::{ApiError, CallError, Extras, NotSent, Unknown};
use crate::error_codes::ErrorCode;
use crate::lenient;
use crate::requests::{
    ApproveRequest, CancelRequest, OrderRequest, ReadyRequest, SidRequest, SubscriptionRequest,
};

/// Largest answer read. The largest real ones, look-ups with many partial cancellations, stay
/// under 64 KiB.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// The character set is named because KakaoPay has refused Korean item names without it.
const JSON_UTF8: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const REQUEST_ID: &str = "x-request-id";

/// One of the seven calls, as a name for metrics and as a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Opens a payment.
    Ready,
    /// Approves it: money moves.
    Approve,
    /// Looks it up.
    Order,
    /// Gives money back.
    Cancel,
    /// Charges a recurring key: money moves.
    Subscription,
    /// Ends a recurring key.
    Inactive,
    /// Asks how a recurring key stands.
    Status,
}

impl Operation {
    /// All seven.
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::Approve,
        Self::Order,
        Self::Cancel,
        Self::Subscription,
        Self::Inactive,
        Self::Status,
    ];

    /// A word for logs and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Approve => "approve",
            Self::Order => "order",
            Self::Cancel => "cancel",
            Self::Subscription => "subscription",
            Self::Inactive => "inactive",
            Self::Status => "status",
        }
    }

    /// Where KakaoPay takes it.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Ready => "/online/v1/payment/ready",
            Self::Approve => "/online/v1/payment/approve",
            Self::Order => "/online/v1/payment/order",
            Self::Cancel => "/online/v1/payment/cancel",
            Self::Subscription => "/online/v1/payment/subscription",
            Self::Inactive => "/online/v1/payment/manage/subscription/inactive",
            Self::Status => "/online/v1/payment/manage/subscription/status",
        }
    }
}

/// A connection pool to KakaoPay. Clones share the pool; separate clients share nothing.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: Url,
    call_timeout: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base_url", &self.base_url.as_str())
            .field("call_timeout", &self.call_timeout)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Opens no connection yet.
    pub fn new(config: &ClientConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let http = reqwest::Client::builder()
            .default_headers(headers(config)?)
            .connect_timeout(config.connect_timeout)
            .pool_max_idle_per_host(config.pool_idle_connections_max)
            .pool_idle_timeout(config.pool_idle_timeout)
            // A redirected POST may be carried out twice, and a repeated one certainly.
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            // A proxy's refusal would be indistinguishable from KakaoPay's.
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .build()
            .map_err(ConfigError::Http)?;
        Ok(Self { http, base_url: config.base_url.clone(), call_timeout: config.call_timeout })
    }

    /// Opens a payment. No money moves; after a lost answer simply open another.
    pub async fn ready(
        &self,
        request: &ReadyRequest,
        request_id: Option<&str>,
    ) -> Result<Ready, CallError> {
        self.call(Operation::Ready, request, request_id).await
    }

    /// Approves a payment. After a lost answer look it up by its tid.
    pub async fn approve(
        &self,
        request: &ApproveRequest,
        request_id: Option<&str>,
    ) -> Result<Approval, CallError> {
        self.call(Operation::Approve, request, request_id).await
    }

    /// Looks a payment up.
    pub async fn order(
        &self,
        request: &OrderRequest,
        request_id: Option<&str>,
    ) -> Result<Order, CallError> {
        self.call(Operation::Order, request, request_id).await
    }

    /// Gives money back. After a lost answer look the payment up and compare the running total.
    pub async fn cancel(
        &self,
        request: &CancelRequest,
        request_id: Option<&str>,
    ) -> Result<Cancellation, CallError> {
        self.call(Operation::Cancel, request, request_id).await
    }

    /// Charges a recurring key. After a lost answer ask for the key's status, and wait before
    /// asking again: there is no tid to look up, and nothing at KakaoPay stops a second charge.
    pub async fn subscription(
        &self,
        request: &SubscriptionRequest,
        request_id: Option<&str>,
    ) -> Result<Approval, CallError> {
        self.call(Operation::Subscription, request, request_id).await
    }

    /// Ends a recurring key. Ending it twice is harmless.
    pub async fn inactive(
        &self,
        request: &SidRequest,
        request_id: Option<&str>,
    ) -> Result<SidInactivated, CallError> {
        self.call(Operation::Inactive, request, request_id).await
    }

    /// Asks how a recurring key stands.
    pub async fn status(
        &self,
        request: &SidRequest,
        request_id: Option<&str>,
    ) -> Result<SidStatus, CallError> {
        self.call(Operation::Status, request, request_id).await
    }

    async fn call<Answer: DeserializeOwned>(
        &self,
        operation: Operation,
        request: &(impl Serialize + Sync),
        request_id: Option<&str>,
    ) -> Result<Answer, CallError> {
        let body = serde_json::to_vec(request)
            .map_err(|error| CallError::NotSent(NotSent::Request(position_of(&error))))?;
        let mut call = self
            .http
            .post(self.url(operation))
            .header(CONTENT_TYPE, JSON_UTF8)
            .timeout(self.call_timeout)
            .body(body);
        // The id only helps to find the call in logs; one that no header can carry is left out.
        if let Some(id) = request_id.and_then(|id| HeaderValue::from_str(id).ok()) {
            call = call.header(REQUEST_ID, id);
        }
        let response = call.send().await.map_err(failure_to_send)?;
        let status = response.status();
        let body = read(response).await?;
        if status == StatusCode::OK {
            return lenient::body(&body).map_err(|error| unreadable(status, &error));
        }
        Err(refusal(status, &body))
    }

    fn url(&self, operation: Operation) -> String {
        format!("{}{}", self.base_url.as_str().trim_end_matches('/'), operation.path())
    }
}

fn headers(config: &ClientConfig) -> Result<HeaderMap, ConfigError> {
    let key = config.secret_key.expose();
    if key.trim().is_empty() {
        return Err(ConfigError::SecretKey);
    }
    let text = Zeroizing::new(format!("SECRET_KEY {key}"));
    let Ok(mut authorization) = HeaderValue::from_str(&text) else {
        return Err(ConfigError::SecretKey);
    };
    authorization.set_sensitive(true);
    Ok(HeaderMap::from_iter([(AUTHORIZATION, authorization)]))
}

/// Reads the whole answer. Once a status line has come, a broken body is an unknown outcome.
async fn read(mut response: Response) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failure_to_receive)? {
        if ANSWER_BYTES_MAX < body.len() + chunk.len() {
            return Err(CallError::Unknown(Unknown::Unreadable {
                http_status: response.status().as_u16(),
                detail: "the answer is too long".to_owned(),
            }));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn failure_to_send(error: reqwest::Error) -> CallError {
    if error.is_builder() {
        return CallError::NotSent(NotSent::Request(described(error)));
    }
    if error.is_connect() && error.is_timeout() {
        return CallError::NotSent(NotSent::ConnectTimeout);
    }
    if error.is_connect() {
        return CallError::NotSent(NotSent::Connect(described(error)));
    }
    failure_to_receive(error)
}

fn failure_to_receive(error: reqwest::Error) -> CallError {
    if error.is_timeout() {
        return CallError::Unknown(Unknown::Timeout);
    }
    CallError::Unknown(Unknown::Connection(described(error)))
}

/// What an answer other than 200 means.
fn refusal(status: StatusCode, body: &[u8]) -> CallError {
    let parsed = lenient::body::<ErrorBody>(body);
    let http_status = status.as_u16();
    if status.is_server_error() {
        return match parsed.map(|body| body.into_error(http_status)) {
            Ok(error)
                if status == StatusCode::SERVICE_UNAVAILABLE
                    && error.code == ErrorCode::MAINTENANCE =>
            {
                CallError::NotSent(NotSent::Maintenance(error))
            }
            parsed => CallError::Unknown(Unknown::Server {
                http_status,
                code: parsed.ok().map(|error| error.code),
            }),
        };
    }
    match parsed.map(|body| body.into_error(http_status)) {
        Err(error) => unreadable(status, &error),
        Ok(_) if !status.is_client_error() => CallError::Unknown(Unknown::Unreadable {
            http_status,
            detail: "neither an answer nor a refusal".to_owned(),
        }),
        Ok(error) if error.code == ErrorCode::INTERNAL => {
            CallError::Unknown(Unknown::Internal(error))
        }
        Ok(error) => CallError::Declined(error),
    }
}

fn unreadable(status: StatusCode, error: &serde_json::Error) -> CallError {
    CallError::Unknown(Unknown::Unreadable {
        http_status: status.as_u16(),
        detail: position_of(error),
    })
}

/// Where reading stopped. The error's own text may quote the body, which may hold a SID.
fn position_of(error: &serde_json::Error) -> String {
    format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column())
}

/// The chain of causes in one line, without the address.
fn described(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// The body of a refusal. The code is required: without it, it is not KakaoPay that speaks.
#[derive(Deserialize)]
struct ErrorBody {
    #[serde(deserialize_with = "lenient::integer")]
    error_code: i64,
    #[serde(default, deserialize_with = "lenient::optional_text")]
    error_message: Option<String>,
    #[serde(default, deserialize_with = "lenient::decoration")]
    extras: Option<ExtrasBody>,
}

#[derive(Deserialize)]
struct ExtrasBody {
    #[serde(default, deserialize_with = "lenient::optional_text")]
    method_result_code: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional_text")]
    method_result_message: Option<String>,
}

impl ErrorBody {
    fn into_error(self, http_status: u16) -> ApiError {
        let extras = self.extras.and_then(|extras| {
            Some(Extras {
                method_result_code: extras.method_result_code?,
                method_result_message: extras.method_result_message,
            })
        });
        ApiError {
            http_status,
            code: ErrorCode(self.error_code),
            message: self.error_message.unwrap_or_default(),
            extras,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, body: &str) -> &'static str {
        refusal(StatusCode::from_u16(status).expect("a status"), body.as_bytes()).code()
    }

    #[test]
    fn what_an_answer_other_than_200_means() {
        let refused = r#"{"error_code":-780,"error_message":"approval failure!"}"#;
        let internal = r#"{"error_code":-1,"error_message":"internal error"}"#;
        let closed = r#"{"error_code":-9798,"error_message":"closed"}"#;
        for (status, body, expected) in [
            (400, refused, "declined"),
            (401, refused, "declined"),
            (429, r#"{"error_code":-10}"#, "declined"),
            (400, closed, "declined"),
            (400, internal, "unknown.internal"),
            (400, "", "unknown.unreadable"),
            (404, "<html>not found</html>", "unknown.unreadable"),
            (404, r#"{"code":404,"message":"no such route"}"#, "unknown.unreadable"),
            (400, r#"{"error_code":null}"#, "unknown.unreadable"),
            (400, r#"{"error_code":1.5}"#, "unknown.unreadable"),
            (400, r#"{"error_code":99999999999999999999}"#, "unknown.unreadable"),
            (204, "", "unknown.unreadable"),
            (302, refused, "unknown.unreadable"),
            (500, refused, "unknown.server"),
            (500, closed, "unknown.server"),
            (503, closed, "not_sent.maintenance"),
            (503, refused, "unknown.server"),
            (503, "", "unknown.server"),
            (504, "<html>gateway time-out</html>", "unknown.server"),
        ] {
            assert_eq!(outcome(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn every_operation_has_a_path_and_a_name_of_its_own() {
        let mut names: Vec<_> = Operation::ALL.iter().map(|operation| operation.name()).collect();
        let mut paths: Vec<_> = Operation::ALL.iter().map(|operation| operation.path()).collect();
        names.sort_unstable();
        names.dedup();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!((names.len(), paths.len()), (7, 7));
    }
}

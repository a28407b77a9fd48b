//! What became of a call: the one place that tells "not sent", "refused" and "unknown" apart.
//!
//! An error while connecting (resolution, refusal, TLS, time-out) comes before the first byte of
//! the request and means that nothing was sent. Everything later counts as unknown, also a
//! connection from the pool that turns out dead: its reset may have come after our bytes.

use std::pin::pin;
use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::error::{ApiError, CallError, Extras, NotSent, Unknown};
use crate::error_codes::ErrorCode;
use crate::lenient;

/// Largest answer read. The largest real ones, look-ups with many partial cancellations, stay
/// under 64 KiB.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// How long an answer may still be read once the time is over. A process that was stopped meanwhile, or
/// whose machine was, finds the time over and the answer in the socket.
const LAST_READ: Duration = Duration::from_millis(250);

/// Sends a request once, waits for its answer for `limit`, and says what became of it.
pub(crate) async fn of<Answer: DeserializeOwned>(
    request: RequestBuilder,
    limit: Duration,
) -> Result<Answer, CallError> {
    // Not reqwest's own time-out, which ends a call without looking for what has arrived.
    let mut call = pin!(sent(request));
    if let Ok(answer) = timeout(limit, &mut call).await {
        return answer;
    }
    let answered = timeout(LAST_READ, call).await;
    answered.unwrap_or(Err(CallError::Unknown(Unknown::Timeout)))
}

async fn sent<Answer: DeserializeOwned>(request: RequestBuilder) -> Result<Answer, CallError> {
    let response = request.send().await.map_err(failure_to_send)?;
    let status = response.status();
    let body = read(response).await?;
    if status == StatusCode::OK {
        return lenient::body(&body).map_err(|error| unreadable(status, &error));
    }
    Err(refusal(status, &body))
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
}

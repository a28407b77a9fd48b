//! Whatever poem and poem-openapi refuse, said as a [`Problem`].

use poem::Error;
use poem::error::{ReadBodyError, SizedLimitError};
use poem::http::StatusCode;
use poem_openapi::error::{
    ContentTypeError, ParseMultipartError, ParseParamError, ParsePathError,
    ParseRequestPayloadError,
};

use crate::problem::Problem;

/// Longest explanation taken over from a parser, in characters: enough to find the fault.
const EXPLANATION_CHARS_MAX: usize = 300;

/// The problem that `error` stands for. Our own pass through; a parser's refusal keeps its
/// explanation, since it speaks of what the client sent; a fault of ours is logged and not told.
pub fn problem_from(error: &Error) -> Problem {
    if let Some(problem) = error.downcast_ref::<Problem>() {
        return problem.clone();
    }
    if let Some(ParseParamError { name, reason }) = error.downcast_ref() {
        return malformed_parameter(name, reason);
    }
    if let Some(ParsePathError { name, reason }) = error.downcast_ref() {
        return malformed_parameter(name, reason);
    }
    if let Some(ParseRequestPayloadError { reason }) = error.downcast_ref() {
        return Problem::bad_request("request.malformed_body", shortened(reason));
    }
    if let Some(ParseMultipartError { reason }) = error.downcast_ref() {
        return Problem::bad_request("request.malformed_body", shortened(reason));
    }
    if error.is::<ContentTypeError>() {
        return by_status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    if let Some(ReadBodyError::PayloadTooLarge) = error.downcast_ref() {
        return by_status(StatusCode::PAYLOAD_TOO_LARGE);
    }
    if error.is::<SizedLimitError>() {
        return by_status(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let status = error.status();
    if status.is_server_error() {
        tracing::error!(status = status.as_u16(), error = %error, "request failed");
    }
    by_status(status)
}

fn malformed_parameter(name: &str, reason: &str) -> Problem {
    // poem-openapi numbers the parameters of a path, whatever they are called.
    let is_numbered = name.strip_prefix("param").is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
    });
    Problem::bad_request("request.malformed_parameter", "a parameter cannot be read").with_field(
        if is_numbered { "path" } else { name },
        "parameter.malformed",
        shortened(reason),
    )
}

fn shortened(explanation: &str) -> String {
    explanation.chars().take(EXPLANATION_CHARS_MAX).collect()
}

/// The problem for a bare status.
fn by_status(status: StatusCode) -> Problem {
    let (code, detail) = match status {
        StatusCode::BAD_REQUEST => ("request.malformed", "the request cannot be read"),
        StatusCode::UNAUTHORIZED => {
            return Problem::unauthenticated("auth.token_missing", "an access token is needed");
        }
        StatusCode::FORBIDDEN => ("auth.role", "the caller's role does not allow this"),
        StatusCode::NOT_FOUND => ("route.not_found", "there is nothing at this address"),
        StatusCode::METHOD_NOT_ALLOWED => {
            ("route.method_not_allowed", "this address does not take this method")
        }
        StatusCode::REQUEST_TIMEOUT => ("request.timeout", "the body did not arrive in time"),
        StatusCode::PAYLOAD_TOO_LARGE => ("request.too_large", "the body is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ("request.media_type", "the body's media type is missing or not supported")
        }
        StatusCode::UNPROCESSABLE_ENTITY => ("request.rule", "the request is against a rule"),
        StatusCode::TOO_MANY_REQUESTS => ("request.too_many", "too many requests"),
        StatusCode::SERVICE_UNAVAILABLE => {
            return Problem::unavailable("unavailable", "try again in a moment");
        }
        other if other.is_client_error() => ("request.refused", "the request was refused"),
        _ => return Problem::internal_unexplained(),
    };
    Problem::new(status, code, detail)
}

//! How a call can fail: it was not sent, it was refused, or nobody knows.
//!
//! The reasons hold text rather than the underlying errors, because callers store them beside
//! the payment they concern. None of the texts holds a key, a token or a part of a body.

use crate::error_codes::{ErrorClass, ErrorCode};

/// Why there is no answer to believe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Certainly nothing happened at KakaoPay. Repeating is safe.
    #[error("the request was not sent: {0}")]
    NotSent(NotSent),
    /// KakaoPay said no. What that means for the payment is said by [`ApiError::class`].
    #[error("KakaoPay refused: {0}")]
    Declined(ApiError),
    /// The request may have been carried out. Look up before anything else.
    #[error("the outcome is unknown: {0}")]
    Unknown(Unknown),
}

/// Why nothing was sent or accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// No connection: refused, unresolvable, or no trust in the other side.
    #[error("no connection: {0}")]
    Connect(String),
    /// No connection in time.
    #[error("no connection in time")]
    ConnectTimeout,
    /// KakaoPay is closed for maintenance and says so.
    #[error("closed for maintenance: {0}")]
    Maintenance(ApiError),
    /// The request could not be put together.
    #[error("the request could not be built: {0}")]
    Request(String),
}

/// Why the outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke after bytes may have been sent, or inside the answer.
    #[error("the connection broke: {0}")]
    Connection(String),
    /// KakaoPay, or something before it, failed.
    #[error("server error {http_status}")]
    Server {
        /// The HTTP status, 500 or above.
        http_status: u16,
        /// The code, if the body held one.
        code: Option<ErrorCode>,
    },
    /// KakaoPay reports a failure of its own (-1) and not what became of the request.
    #[error("internal error at KakaoPay: {0}")]
    Internal(ApiError),
    /// Any other answer that could not be understood.
    #[error("unreadable answer with status {http_status}: {detail}")]
    Unreadable {
        /// The HTTP status.
        http_status: u16,
        /// Where reading stopped; no part of the body.
        detail: String,
    },
}

/// A refusal as KakaoPay words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} with status {http_status}: {message}")]
pub struct ApiError {
    /// The HTTP status.
    pub http_status: u16,
    /// `error_code`.
    pub code: ErrorCode,
    /// `error_message`, for the log and not for the shopper.
    pub message: String,
    /// What the card company or the money account said, when it was they who refused.
    pub extras: Option<Extras>,
}

/// The answer of the method of payment behind KakaoPay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extras {
    /// For example `LACK_BALANCE` or a card company's four characters.
    pub method_result_code: String,
    /// A Korean sentence meant for the shopper.
    pub method_result_message: Option<String>,
}

impl ApiError {
    /// What the refusal means for whoever asked.
    pub fn class(&self) -> ErrorClass {
        let method = self.extras.as_ref().map(|extras| extras.method_result_code.as_str());
        ErrorClass::of(self.code, method)
    }
}

impl CallError {
    /// Stable name for logs, metrics and stored outcomes; the sentences may be reworded freely.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotSent(NotSent::Connect(_)) => "not_sent.connect",
            Self::NotSent(NotSent::ConnectTimeout) => "not_sent.connect_timeout",
            Self::NotSent(NotSent::Maintenance(_)) => "not_sent.maintenance",
            Self::NotSent(NotSent::Request(_)) => "not_sent.request",
            Self::Declined(_) => "declined",
            Self::Unknown(Unknown::Timeout) => "unknown.timeout",
            Self::Unknown(Unknown::Connection(_)) => "unknown.connection",
            Self::Unknown(Unknown::Server { .. }) => "unknown.server",
            Self::Unknown(Unknown::Internal(_)) => "unknown.internal",
            Self::Unknown(Unknown::Unreadable { .. }) => "unknown.unreadable",
        }
    }
}

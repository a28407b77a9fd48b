//! The thread that ties one request together: log lines, event metadata, outgoing calls, answers.
//!
//! A client may bring its own in `X-Request-Id`; it is taken only if it cannot do harm in a log
//! line or a header, else a new UUIDv7 is made. Within [`scope`] anybody can ask for [`current`];
//! a spawned task is outside and must be given the id.

use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

/// The header in which the id arrives and is returned.
pub const HEADER: &str = "x-request-id";

/// Longest id accepted from outside, in bytes; a UUID has 36.
pub const LENGTH_MAX: usize = 64;

/// A request's id: 1 to [`LENGTH_MAX`] letters, digits, `-`, `_` or `.`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

/// An id from outside that is empty, too long or holds a character that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 64 letters, digits, '-', '_' or '.'")]
pub struct InvalidRequestId;

impl RequestId {
    /// A new id; UUIDv7, so that ids sort by time.
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string().into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if text.is_empty() || LENGTH_MAX < text.len() || !text.bytes().all(is_harmless) {
            return Err(InvalidRequestId);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The id of the request that this task works for, if it works for one.
pub fn current() -> Option<RequestId> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Runs `work` with `id` as [`current`]; for background work that continues a request.
pub fn scope<F: Future>(id: RequestId, work: F) -> impl Future<Output = F::Output> {
    // No `async`, which would hold `work` twice: every request passes here.
    CURRENT.scope(id, work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_ids_are_taken_as_they_are() {
        for text in ["a", "0198c7a1-5b7e-7c3e-9d55-9f0c6d1b2a3c", "job_7.retry-2"] {
            assert_eq!(text.parse::<RequestId>().unwrap().as_str(), text);
        }
        assert!("x".repeat(LENGTH_MAX).parse::<RequestId>().is_ok());
    }

    #[test]
    fn ids_that_could_do_harm_are_refused() {
        let too_long = "x".repeat(LENGTH_MAX + 1);
        for text in ["", " ", "a b", "a\nlevel=error", "주문", "\"}", "a/b", &too_long] {
            assert_eq!(text.parse::<RequestId>(), Err(InvalidRequestId), "{text:?}");
        }
    }

    #[tokio::test]
    async fn the_id_is_known_within_its_scope_only() {
        assert_eq!(current(), None);
        let id = RequestId::generate();
        scope(id.clone(), async { assert_eq!(current(), Some(id)) }).await;
        assert_eq!(current(), None);
    }
}

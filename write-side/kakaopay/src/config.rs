//! What a [`crate::Client`] needs to know, checked when it is built.

use std::fmt;
use std::time::Duration;

use url::Url;
use zeroize::Zeroizing;

use crate::client::headers;

/// The key of the merchant's application. Its `Debug` shows nothing; its memory is wiped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(Zeroizing<String>);

impl SecretKey {
    /// Takes the key as KakaoPay's console shows it.
    pub fn new(key: impl Into<String>) -> Self {
        Self(Zeroizing::new(key.into()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(***)")
    }
}

/// Settings of one client. Callers that want one slow class of calls not to starve another
/// build a client for each: every client has connections of its own.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Scheme, host and port of the API.
    pub base_url: Url,
    /// The application's key.
    pub secret_key: SecretKey,
    /// Longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest whole call, the connection included.
    pub call_timeout: Duration,
    /// Connections kept open while idle.
    pub pool_idle_connections_max: usize,
    /// How long an idle connection is kept. Shorter than common proxies' keep-alive, because a
    /// request on a connection the other side has just closed ends as an unknown outcome.
    pub pool_idle_timeout: Duration,
}

impl ClientConfig {
    /// Default of `connect_timeout`.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
    /// Default of `call_timeout`. KakaoPay itself gives up after 11 s; a shorter wait would turn
    /// its answers into unknowns.
    pub const CALL_TIMEOUT: Duration = Duration::from_secs(12);
    /// Default of `pool_idle_connections_max`.
    pub const POOL_IDLE_CONNECTIONS_MAX: usize = 32;
    /// Default of `pool_idle_timeout`.
    pub const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

    /// The defaults for everything but the address and the key.
    pub fn new(base_url: Url, secret_key: SecretKey) -> Self {
        Self {
            base_url,
            secret_key,
            connect_timeout: Self::CONNECT_TIMEOUT,
            call_timeout: Self::CALL_TIMEOUT,
            pool_idle_connections_max: Self::POOL_IDLE_CONNECTIONS_MAX,
            pool_idle_timeout: Self::POOL_IDLE_TIMEOUT,
        }
    }

    /// Whether a client can be made of it.
    ///
    /// # Errors
    /// The part that cannot be used.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !matches!(self.base_url.scheme(), "http" | "https") || !self.base_url.has_host() {
            return Err(ConfigError::BaseUrl);
        }
        // Otherwise the call would time out first and an unopened connection, which is safe to
        // try again, would be reported as an unknown outcome.
        if self.call_timeout <= self.connect_timeout {
            return Err(ConfigError::Timeouts);
        }
        headers(self).map(drop)
    }
}

/// Why no client can be built from the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not an `http` or `https` address.
    #[error("the base url of KakaoPay is not an http or https address")]
    BaseUrl,
    /// Empty, or not sendable in a header.
    #[error("the secret key of KakaoPay cannot be sent in a header")]
    SecretKey,
    /// The parts do not fit the whole.
    #[error("the call timeout is not longer than the connect timeout")]
    Timeouts,
    /// The HTTP client could not be set up, for example for want of root certificates.
    #[error("set up the http client")]
    Http(#[source] reqwest::Error),
}

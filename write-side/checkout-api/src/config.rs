//! What `checkout-api` can be told, and by which variable.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use service_kit::clock_source::ClockSource;
use service_kit::config::{ConfigError, Secret, Settings};
use service_kit::telemetry::{LogFilter, LogFormat};
use url::Url;

use crate::accounts::Allowance;

/// Passwords hashed at once when nothing else is asked for: a core's worth of 20 ms each, and
/// 19 MiB apiece.
const PASSWORD_HASHES_DEFAULT: usize = 2;
/// Tries to log in per account before they are slowed down: a person who mistypes stays below.
const ACCOUNT_TRIES_DEFAULT: u32 = 10;
/// Seconds until an account is allowed another try.
const ACCOUNT_REFILL_SECONDS_DEFAULT: u64 = 30;
/// Sign-ups and logins per address before they are slowed down; offices share an address.
const ADDRESS_TRIES_DEFAULT: u32 = 200;
/// Milliseconds until an address is allowed another one.
const ADDRESS_REFILL_MS_DEFAULT: u64 = 200;
/// Longest wait for the gateway's pay page before a client is told to look again. Shorter than the
/// gateway's own deadline: the page that comes later is found under the order.
const PAYMENT_WAIT_SECONDS_DEFAULT: u64 = 10;

/// Everything `checkout-api` reads from its environment, and nothing else.
#[derive(Debug, Clone)]
pub struct CheckoutConfig {
    /// `DATABASE_URL`: the PostgreSQL that the log lies in.
    pub database_url: Secret,
    /// `REDIS_URL`: watched by `/health/ready`, never needed for an answer; none when unset.
    pub redis_url: Option<Secret>,
    /// `CHECKOUT_LISTEN`: where shoppers are answered; `127.0.0.1:8080` when unset.
    pub listen: SocketAddr,
    /// `CHECKOUT_ADMIN_LISTEN`: where administrators are answered; `127.0.0.1:8082` when unset.
    pub admin_listen: SocketAddr,
    /// `CHECKOUT_OPS_LISTEN`: health, metrics, version; `127.0.0.1:9080` when unset.
    pub ops_listen: SocketAddr,
    /// `ACCESS_TOKEN_KEY`: signs access tokens; at least 32 bytes.
    pub access_token_key: Secret,
    /// `MASTER_KEY`: wraps the users' keys; 32 bytes in base64.
    pub master_key: Secret,
    /// `DIGEST_PEPPER`: keys the digests that uniqueness is checked on; at least 32 bytes.
    pub digest_pepper: Secret,
    /// `RETURN_URL_KEY`: makes return URLs unguessable; the worker has the same one.
    pub return_url_key: Secret,
    /// `PUBLIC_BASE_URL`: where browsers reach us, for example `https://pillivery.example`.
    pub public_base_url: String,
    /// `PAYMENT_RESULT_URL`: the page that a browser is sent on to after paying, with
    /// `?order=…&outcome=…` added; a plain page of our own when unset.
    pub payment_result_url: Option<Url>,
    /// `CORS_ORIGINS`: origins whose pages may call us, separated by commas; none when unset.
    pub cors_origins: Vec<String>,
    /// `TRUST_PROXY`: whether `X-Forwarded-For` is written by a proxy of ours; `false` when unset.
    pub trusts_proxy: bool,
    /// `CHECKOUT_DATABASE_CONNECTIONS`: most connections for appends, and as many again for loads
    /// and for accounts, 1 to 200; 8 when unset.
    pub database_connections_max: usize,
    /// `PASSWORD_HASHES_MAX`: passwords hashed at once, 1 to 64; 2 when unset.
    pub password_hashes_max: usize,
    /// `LOGIN_ACCOUNT_TRIES` at once per account (10 when unset), and another one every
    /// `LOGIN_ACCOUNT_REFILL_SECONDS` (30 when unset).
    pub login_per_account: Allowance,
    /// `LOGIN_ADDRESS_TRIES` sign-ups and logins at once per address (200 when unset), and another
    /// one every `LOGIN_ADDRESS_REFILL_MS` milliseconds (200 when unset).
    pub login_per_address: Allowance,
    /// `PAYMENT_WAIT_SECONDS`: longest wait for the gateway's pay page, 1 to 15; 10 when unset.
    pub payment_wait_max: Duration,
    /// `FEED_WATCHER`: whether this process computes the log's safe position itself (`own`) or
    /// follows the one another process writes (`follow`); `follow` when unset.
    pub feed_watcher: FeedWatcher,
    /// `LOG_FORMAT`: `json` or `text`; `json` when unset. Used by the binary alone.
    pub log_format: LogFormat,
    /// `LOG_FILTER`: levels that replace the defaults, as in `info,projections=debug`; `info` when unset.
    pub log_filter: LogFilter,
    /// `CLOCK_FILE`, with `CLOCK_SETTABLE=1`: a file of seconds by which the clock is moved. Development
    /// only; the machine's clock when unset.
    pub clock: ClockSource,
}

/// Who computes the position up to which the log is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedWatcher {
    /// A watcher in this process.
    Own,
    /// The worker's or the projector's, read from the database.
    Follow,
}

impl std::str::FromStr for FeedWatcher {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "own" => Ok(Self::Own),
            "follow" => Ok(Self::Follow),
            _ => Err("expected own or follow"),
        }
    }
}

impl CheckoutConfig {
    /// Reads the configuration through `lookup`.
    ///
    /// # Errors
    /// Names the first variable that is missing or cannot be used, without its value.
    pub fn load(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let settings = Settings::new(lookup);
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self {
            database_url: settings.secret("DATABASE_URL")?,
            redis_url: settings.optional_secret("REDIS_URL"),
            listen: settings.parsed("CHECKOUT_LISTEN", local(8080))?,
            admin_listen: settings.parsed("CHECKOUT_ADMIN_LISTEN", local(8082))?,
            ops_listen: settings.parsed("CHECKOUT_OPS_LISTEN", local(9080))?,
            access_token_key: settings.secret("ACCESS_TOKEN_KEY")?,
            master_key: settings.secret("MASTER_KEY")?,
            digest_pepper: settings.secret("DIGEST_PEPPER")?,
            return_url_key: settings.secret("RETURN_URL_KEY")?,
            public_base_url: settings.required("PUBLIC_BASE_URL")?,
            payment_result_url: result_url(&settings)?,
            cors_origins: origins(&settings)?,
            trusts_proxy: settings.parsed("TRUST_PROXY", false)?,
            database_connections_max: settings.number(
                "CHECKOUT_DATABASE_CONNECTIONS",
                8,
                1..=200,
            )?,
            password_hashes_max: settings.number(
                "PASSWORD_HASHES_MAX",
                PASSWORD_HASHES_DEFAULT,
                1..=64,
            )?,
            login_per_account: Allowance {
                burst: tries(&settings, "LOGIN_ACCOUNT_TRIES", ACCOUNT_TRIES_DEFAULT)?,
                refill: Duration::from_secs(settings.number(
                    "LOGIN_ACCOUNT_REFILL_SECONDS",
                    ACCOUNT_REFILL_SECONDS_DEFAULT,
                    1..=3600,
                )?),
            },
            login_per_address: Allowance {
                burst: tries(&settings, "LOGIN_ADDRESS_TRIES", ADDRESS_TRIES_DEFAULT)?,
                refill: Duration::from_millis(settings.number(
                    "LOGIN_ADDRESS_REFILL_MS",
                    ADDRESS_REFILL_MS_DEFAULT,
                    1..=3_600_000,
                )?),
            },
            payment_wait_max: Duration::from_secs(settings.number(
                "PAYMENT_WAIT_SECONDS",
                PAYMENT_WAIT_SECONDS_DEFAULT,
                1..=15,
            )?),
            feed_watcher: settings.parsed("FEED_WATCHER", FeedWatcher::Follow)?,
            log_format: settings.parsed("LOG_FORMAT", LogFormat::Json)?,
            log_filter: settings.parsed("LOG_FILTER", LogFilter::default())?,
            clock: ClockSource::load(&settings)?,
        })
    }
}

fn tries(settings: &Settings<'_>, name: &str, default: u32) -> Result<NonZeroU32, ConfigError> {
    let number = settings.number(name, default, 1..=1_000_000)?;
    Ok(NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN))
}

fn result_url(settings: &Settings<'_>) -> Result<Option<Url>, ConfigError> {
    let Some(text) = settings.optional("PAYMENT_RESULT_URL") else {
        return Ok(None);
    };
    let expected = || ConfigError::invalid("PAYMENT_RESULT_URL", "expected a web address");
    let url: Url = text.trim().parse().map_err(|_may_repeat_it| expected())?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(expected());
    }
    Ok(Some(url))
}

/// Each origin as a browser sends it: scheme, host and port, nothing behind them.
fn origins(settings: &Settings<'_>) -> Result<Vec<String>, ConfigError> {
    let list = settings.optional("CORS_ORIGINS").unwrap_or_default();
    list.split(',')
        .map(str::trim)
        .filter(|origin| !origin.is_empty())
        .map(|origin| {
            let is_origin =
                origin.parse::<Url>().is_ok_and(|url| url.origin().ascii_serialization() == origin);
            is_origin.then(|| origin.to_owned()).ok_or_else(|| {
                ConfigError::invalid(
                    "CORS_ORIGINS",
                    "expected origins such as https://shop.example",
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<'a>(name: &'a str, value: &'a str) -> impl Fn(&str) -> Option<String> + 'a {
        move |asked| match asked {
            _ if asked == name => Some(value.to_owned()),
            "DATABASE_URL" => Some("postgres://shop:hunter2@db/shop".to_owned()),
            "ACCESS_TOKEN_KEY" | "DIGEST_PEPPER" | "RETURN_URL_KEY" | "MASTER_KEY" => {
                Some("0123456789abcdef0123456789abcdef".to_owned())
            }
            "PUBLIC_BASE_URL" => Some("https://shop.example".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn six_settings_are_enough() {
        let config = CheckoutConfig::load(with("", "")).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.payment_wait_max, Duration::from_secs(10));
        assert!(config.cors_origins.is_empty() && !config.trusts_proxy);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (name, value) in [
            ("PUBLIC_BASE_URL", ""),
            ("CHECKOUT_LISTEN", "8080"),
            ("CORS_ORIGINS", "https://shop.example/"),
            ("CORS_ORIGINS", "*"),
            ("PAYMENT_RESULT_URL", "javascript:alert(1)"),
            ("PAYMENT_WAIT_SECONDS", "60"),
            ("FEED_WATCHER", "maybe"),
            ("LOGIN_ACCOUNT_TRIES", "0"),
        ] {
            let error = CheckoutConfig::load(with(name, value)).unwrap_err();
            assert!(error.to_string().starts_with(name), "{error}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = format!("{:?}", CheckoutConfig::load(with("", "")).unwrap());
        assert!(!shown.contains("hunter2") && !shown.contains("0123456789"), "{shown}");
    }
}

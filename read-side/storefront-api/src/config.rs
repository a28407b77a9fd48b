//! What `storefront-api` can be told, and by which variable.

use std::fmt;
use std::net::SocketAddr;

use service_kit::clock_source::ClockSource;
use service_kit::config::{ConfigError, Secret, Settings, Shape, Table, Variable, shared};
use service_kit::http::{EdgeConfig, Origins};
use service_kit::telemetry::{LogFilter, LogFormat};
use service_kit::tokens::{Audience, TokenVerifier};
use service_kit::vault::MasterKey;

/// Database connections when nothing else is asked for. A page is one short statement, so eight
/// connections answer thousands of pages a second; the database serves other processes too.
const DATABASE_CONNECTIONS_DEFAULT: u64 = 8;
/// Searches a minute and address when nothing else is asked for: more than a person can read, and
/// room for several behind one address.
const SEARCHES_PER_MINUTE_DEFAULT: u64 = 120;

/// Every variable of `storefront-api`.
pub const VARIABLES: Table = &[
    shared::DATABASE_URL,
    shared::DATABASE_PLAINTEXT,
    shared::REDIS_URL,
    shared::REDIS_PLAINTEXT,
    Variable::with(
        "STOREFRONT_LISTEN",
        Shape::Address,
        "127.0.0.1:8081",
        "Where shoppers are answered.",
    ),
    Variable::with(
        "STOREFRONT_OPS_LISTEN",
        Shape::Address,
        "127.0.0.1:9081",
        "Health, metrics and version.",
    ),
    Variable::required(
        "ACCESS_TOKEN_VERIFYING_KEYS",
        Shape::Text,
        "The public keys that access tokens are verified with, in base64, at most two with a comma between.",
    ),
    shared::MASTER_KEY,
    shared::TRUSTED_PROXIES,
    Variable::number(
        "STOREFRONT_CONNECTIONS_MAX",
        0,
        0..=100_000,
        "Most connections of shoppers at once; 0 computes them from the descriptor limit.",
    ),
    shared::DRAIN_DELAY_SECONDS,
    Variable::number(
        "STOREFRONT_DATABASE_CONNECTIONS",
        DATABASE_CONNECTIONS_DEFAULT,
        1..=200,
        "Most database connections at once.",
    ),
    Variable::with(
        "STOREFRONT_CACHE",
        Shape::Words(&["on", "off"]),
        "on",
        "Whether finished catalogue pages are kept for a moment; off is for measuring the database.",
    ),
    Variable::number(
        "SEARCHES_PER_MINUTE",
        SEARCHES_PER_MINUTE_DEFAULT,
        0..=60_000,
        "Keyword searches a minute and address, a quarter of them at once; 0 for no limit.",
    ),
    shared::CORS_ORIGINS,
    shared::LOG_FORMAT,
    shared::LOG_FILTER,
    shared::CLOCK_FILE,
    shared::CLOCK_SETTABLE,
];

/// Everything `storefront-api` reads from its environment, and nothing else.
#[derive(Debug, Clone)]
pub struct StorefrontConfig {
    /// `DATABASE_URL`: the PostgreSQL the read models live in.
    pub database_url: Secret,
    /// Set by `ops/run` alone, for a database with one login for everything: the process may log in
    /// as the owner of the log. No variable, so that no production does.
    pub may_own_database: bool,
    /// `REDIS_URL`: watched by `/health/ready`, never needed for an answer; none when unset.
    pub redis_url: Option<Secret>,
    /// `STOREFRONT_LISTEN`: where shoppers are answered; `127.0.0.1:8081` when unset.
    pub listen: SocketAddr,
    /// `STOREFRONT_OPS_LISTEN`: where operators are; `127.0.0.1:9081` when unset.
    pub ops_listen: SocketAddr,
    /// `ACCESS_TOKEN_VERIFYING_KEYS`: verify access tokens; one or two Ed25519 public keys in base64,
    /// separated by a comma. The key that signs is in checkout-api alone.
    pub access_token_verifying_keys: String,
    /// `MASTER_KEY`: unwraps the users' keys, so that shoppers see their own receiver data.
    pub master_key: Secret,
    /// `TRUSTED_PROXIES`, `STOREFRONT_CONNECTIONS_MAX`, `DRAIN_DELAY_SECONDS`: see [`EdgeConfig`].
    pub edge: EdgeConfig,
    /// `STOREFRONT_DATABASE_CONNECTIONS`: most connections at once, 1 to 200; 8 when unset.
    pub database_connections_max: usize,
    /// `STOREFRONT_CACHE`: whether finished catalogue pages are kept for a moment, `on` or `off`;
    /// `on` when unset. `off` is for measuring the database.
    pub cache: Switch,
    /// `SEARCHES_PER_MINUTE`: keyword searches of one address, a quarter of them at once; 120 when
    /// unset, without limit for 0.
    pub searches_per_minute: u32,
    /// `CORS_ORIGINS`: origins whose pages may call us, separated by commas; none when unset.
    pub cors_origins: Origins,
    /// `LOG_FORMAT`: `json` or `text`; `json` when unset. Used by the binary alone.
    pub log_format: LogFormat,
    /// `LOG_FILTER`: levels that replace the defaults, as in `info,projections=debug`; `info` when unset.
    pub log_filter: LogFilter,
    /// `CLOCK_FILE`, with `CLOCK_SETTABLE=1`: a file of seconds by which the clock is moved. Development
    /// only; the machine's clock when unset.
    pub clock: ClockSource,
}

impl StorefrontConfig {
    /// Reads the configuration through `lookup` and checks all that the start makes of it.
    ///
    /// # Errors
    /// Names every variable that is missing or cannot be used, without its value.
    pub fn load(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let settings = Settings::of(VARIABLES, lookup)?;
        let config = Self {
            database_url: settings.database_url("DATABASE_URL")?,
            may_own_database: false,
            redis_url: settings.optional_secret("REDIS_URL"),
            listen: settings.value("STOREFRONT_LISTEN")?,
            ops_listen: settings.value("STOREFRONT_OPS_LISTEN")?,
            access_token_verifying_keys: settings.required("ACCESS_TOKEN_VERIFYING_KEYS")?,
            master_key: settings.secret("MASTER_KEY")?,
            edge: EdgeConfig::load(&settings, "STOREFRONT_CONNECTIONS_MAX")?,
            database_connections_max: settings.value("STOREFRONT_DATABASE_CONNECTIONS")?,
            cache: settings.value("STOREFRONT_CACHE")?,
            searches_per_minute: settings.value("SEARCHES_PER_MINUTE")?,
            cors_origins: settings.optional_value("CORS_ORIGINS")?.unwrap_or_default(),
            log_format: settings.value("LOG_FORMAT")?,
            log_filter: settings.optional_value("LOG_FILTER")?.unwrap_or_default(),
            clock: ClockSource::load(&settings)?,
        };
        ConfigError::of_all([
            TokenVerifier::new(&config.access_token_verifying_keys, Audience::Shop).map(drop),
            MasterKey::from_base64(&config.master_key).map(drop),
        ])?;
        Ok(config)
    }
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// It is used.
    On,
    /// It is not.
    Off,
}

/// A text is neither `on` nor `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSwitch;

impl fmt::Display for NoSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected on or off")
    }
}

impl std::str::FromStr for Switch {
    type Err = NoSwitch;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err(NoSwitch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> Option<String> {
        let value = match name {
            "DATABASE_URL" => "postgres://shop:hunter2@db/shop",
            "ACCESS_TOKEN_VERIFYING_KEYS" => "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
            "MASTER_KEY" => "Q0hBT1MtbWFzdGVyLWtleS0zMi1ieXRlcy1sb25nISE=",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn three_settings_are_enough() {
        let config = StorefrontConfig::load(table).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8081");
        assert_eq!(config.cache, Switch::On);
        assert!(config.redis_url.is_none());
    }

    #[test]
    fn a_missing_setting_is_named() {
        let without_key = |name: &str| table(name).filter(|_| name != "MASTER_KEY");
        let error = StorefrontConfig::load(without_key).unwrap_err();
        assert_eq!(error.to_string(), "MASTER_KEY is not set");
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = format!("{:?}", StorefrontConfig::load(table).unwrap());
        assert!(!shown.contains("hunter2") && !shown.contains("32 bytes"), "{shown}");
    }
}

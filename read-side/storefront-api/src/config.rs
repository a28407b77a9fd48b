//! What `storefront-api` can be told, and by which variable.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use poem::http::HeaderValue;
use poem::http::uri::Authority;
use service_kit::clock_source::ClockSource;
use service_kit::config::{ConfigError, Secret, Settings};
use service_kit::telemetry::LogFormat;

/// Database connections when nothing else is asked for. A page is one short statement, so eight
/// connections answer thousands of pages a second; the database serves other processes too.
const DATABASE_CONNECTIONS_DEFAULT: usize = 8;
/// Searches a minute and address when nothing else is asked for: more than a person can read, and
/// room for several behind one address.
const SEARCHES_PER_MINUTE_DEFAULT: u32 = 120;

/// Everything `storefront-api` reads from its environment, and nothing else.
#[derive(Debug, Clone)]
pub struct StorefrontConfig {
    /// `DATABASE_URL`: the PostgreSQL the read models live in.
    pub database_url: Secret,
    /// `REDIS_URL`: watched by `/health/ready`, never needed for an answer; none when unset.
    pub redis_url: Option<Secret>,
    /// `STOREFRONT_LISTEN`: where shoppers are answered; `127.0.0.1:8081` when unset.
    pub listen: SocketAddr,
    /// `STOREFRONT_OPS_LISTEN`: where operators are; `127.0.0.1:9081` when unset.
    pub ops_listen: SocketAddr,
    /// `ACCESS_TOKEN_KEY`: verifies access tokens; the key checkout-api signs with.
    pub access_token_key: Secret,
    /// `MASTER_KEY`: unwraps the users' keys, so that shoppers see their own receiver data.
    pub master_key: Secret,
    /// `STOREFRONT_DATABASE_CONNECTIONS`: most connections at once, 1 to 200; 8 when unset.
    pub database_connections_max: usize,
    /// `STOREFRONT_CACHE`: whether finished catalogue pages are kept for a moment, `on` or `off`;
    /// `on` when unset. `off` is for measuring the database.
    pub cache: Switch,
    /// `SEARCHES_PER_MINUTE`: keyword searches of one address, a quarter of them at once; 120 when
    /// unset, without limit for 0.
    pub searches_per_minute: u32,
    /// `CORS_ORIGINS`: origins whose pages may call us, separated by commas; none when unset.
    pub cors_origins: Vec<HeaderValue>,
    /// `LOG_FORMAT`: `json` or `text`; `json` when unset. Used by the binary alone.
    pub log_format: LogFormat,
    /// `CLOCK_FILE`, with `CLOCK_SETTABLE=1`: a file of seconds by which the clock is moved. Development
    /// only; the machine's clock when unset.
    pub clock: ClockSource,
}

impl StorefrontConfig {
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
            listen: settings.parsed("STOREFRONT_LISTEN", local(8081))?,
            ops_listen: settings.parsed("STOREFRONT_OPS_LISTEN", local(9081))?,
            access_token_key: settings.secret("ACCESS_TOKEN_KEY")?,
            master_key: settings.secret("MASTER_KEY")?,
            database_connections_max: settings.number(
                "STOREFRONT_DATABASE_CONNECTIONS",
                DATABASE_CONNECTIONS_DEFAULT,
                1..=200,
            )?,
            cache: settings.parsed("STOREFRONT_CACHE", Switch::On)?,
            searches_per_minute: settings.number(
                "SEARCHES_PER_MINUTE",
                SEARCHES_PER_MINUTE_DEFAULT,
                0..=60_000,
            )?,
            cors_origins: origins(&settings)?,
            log_format: settings.parsed("LOG_FORMAT", LogFormat::Json)?,
            clock: ClockSource::load(&settings)?,
        })
    }
}

/// Each origin as a browser sends it: scheme, host and port, nothing behind them.
fn origins(settings: &Settings<'_>) -> Result<Vec<HeaderValue>, ConfigError> {
    let list = settings.optional("CORS_ORIGINS").unwrap_or_default();
    list.split(',')
        .map(str::trim)
        .filter(|origin| !origin.is_empty())
        .map(|origin| {
            let value = HeaderValue::from_str(origin).ok().filter(|_| is_origin(origin));
            value.ok_or_else(|| {
                ConfigError::invalid(
                    "CORS_ORIGINS",
                    "expected origins such as https://shop.example",
                )
            })
        })
        .collect()
}

/// Browsers send host names in lower case and leave out the port of the scheme.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else {
        return false;
    };
    let default_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return false,
    };
    let is_host = host.parse::<Authority>().is_ok_and(|authority| authority == host);
    is_host
        && !host.contains('@')
        && !host.ends_with(default_port)
        && !host.contains(|letter: char| letter.is_ascii_uppercase())
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
            "ACCESS_TOKEN_KEY" => "0123456789abcdef0123456789abcdef",
            "MASTER_KEY" => "bWFzdGVy",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn three_settings_are_enough() {
        let config = StorefrontConfig::load(table).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8081");
        assert_eq!(config.cache, Switch::On);
        assert!(config.redis_url.is_none() && config.cors_origins.is_empty());
    }

    #[test]
    fn origins_are_taken_as_a_browser_sends_them() {
        let load = |list: &str| {
            StorefrontConfig::load(|name| match name {
                "CORS_ORIGINS" => Some(list.to_owned()),
                other => table(other),
            })
        };
        let config = load("https://shop.example, http://localhost:3000,").unwrap();
        assert_eq!(config.cors_origins, ["https://shop.example", "http://localhost:3000"]);
        for list in [
            "*",
            "null",
            "shop.example",
            "https://shop.example/",
            "https://shop.example:443",
            "https://Shop.example",
            "https://a@shop.example",
            "javascript://x",
            "https://",
        ] {
            let error = load(list).unwrap_err().to_string();
            assert!(error.contains("CORS_ORIGINS"), "{list}: {error}");
        }
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
        assert!(!shown.contains("hunter2") && !shown.contains("0123456789"), "{shown}");
    }
}

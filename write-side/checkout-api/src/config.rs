//! What `checkout-api` can be told, and by which variable.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use service_kit::clock_source::ClockSource;
use service_kit::config::{ConfigError, Secret, Settings, Shape, Table, Variable, shared};
use service_kit::digest::Pepper;
use service_kit::http::{EdgeConfig, Origins};
use service_kit::return_url::ReturnUrls;
use service_kit::telemetry::{LogFilter, LogFormat};
use service_kit::tokens::{Audience, TokenSigner, TokenVerifier};
use service_kit::vault::MasterKey;
use url::Url;

use crate::limits::{self, LimitConfig};

/// Of so many cores one hashes passwords when nothing else is asked for; the others answer shoppers.
const CORES_PER_PASSWORD_HASH: usize = 4;
/// Longest wait for the gateway's pay page before a client is told to look again. Shorter than the
/// gateway's own deadline: the page that comes later is found under the order.
const PAYMENT_WAIT_SECONDS_DEFAULT: u64 = 10;

/// Every variable of `checkout-api`.
pub const VARIABLES: Table = &[
    shared::DATABASE_URL,
    shared::DATABASE_PLAINTEXT,
    shared::REDIS_URL,
    shared::REDIS_PLAINTEXT,
    Variable::with(
        "CHECKOUT_LISTEN",
        Shape::Address,
        "127.0.0.1:8080",
        "Where shoppers are answered.",
    ),
    Variable::with(
        "CHECKOUT_ADMIN_LISTEN",
        Shape::Address,
        "127.0.0.1:8082",
        "Where administrators are answered.",
    ),
    Variable::with(
        "CHECKOUT_OPS_LISTEN",
        Shape::Address,
        "127.0.0.1:9080",
        "Health, metrics and version.",
    ),
    Variable::required(
        "ACCESS_TOKEN_SIGNING_KEY",
        Shape::Key,
        "The Ed25519 key that signs access tokens, in base64.",
    ),
    Variable::required(
        "ACCESS_TOKEN_VERIFYING_KEYS",
        Shape::Text,
        "The public keys that access tokens are verified with, in base64, at most two with a comma between.",
    ),
    shared::MASTER_KEY,
    shared::DIGEST_PEPPER,
    shared::RETURN_URL_KEY,
    shared::PUBLIC_BASE_URL,
    Variable::optional(
        "PAYMENT_RESULT_URL",
        Shape::WebAddress,
        "The page that a browser is sent on to after paying, with ?order=…&outcome=… added; outcome is \
         processing, paid, declined, cancelled, failed, called_off or expired. Without it checkout-api \
         shows a plain page.",
    ),
    shared::CORS_ORIGINS,
    shared::TRUSTED_PROXIES,
    Variable::number(
        "CHECKOUT_CONNECTIONS_MAX",
        0,
        0..=100_000,
        "Most connections of shoppers at once; 0 computes them from the descriptor limit.",
    ),
    shared::DRAIN_DELAY_SECONDS,
    Variable::number(
        "CHECKOUT_DATABASE_CONNECTIONS",
        8,
        1..=200,
        "Most connections for appends, and as many again for loads and for accounts.",
    ),
    Variable::optional(
        "PASSWORD_HASHES_MAX",
        Shape::Number(1..=64),
        "Passwords hashed at once; a quarter of the cores, at least one, when unset.",
    ),
    limits::LOGIN_ACCOUNT_TRIES,
    limits::LOGIN_ACCOUNT_REFILL_SECONDS,
    limits::LOGIN_ADDRESS_TRIES,
    limits::LOGIN_ADDRESS_REFILL_MS,
    limits::SIGN_UPS_PER_MINUTE,
    limits::EDITS_PER_SECOND,
    limits::ORDERS_PER_MINUTE,
    limits::PAYMENTS_PER_HOUR,
    Variable::number(
        "PAYMENT_WAIT_SECONDS",
        PAYMENT_WAIT_SECONDS_DEFAULT,
        1..=15,
        "Longest wait for the gateway's pay page.",
    ),
    Variable::with(
        "FEED_WATCHER",
        Shape::Words(&["own", "follow"]),
        "follow",
        "Whether this process computes the log's safe position itself or follows another's.",
    ),
    shared::LOG_FORMAT,
    shared::LOG_FILTER,
    shared::CLOCK_FILE,
    shared::CLOCK_SETTABLE,
];

/// Everything `checkout-api` reads from its environment, and nothing else.
#[derive(Debug, Clone)]
pub struct CheckoutConfig {
    /// `DATABASE_URL`: the PostgreSQL that the log lies in.
    pub database_url: Secret,
    /// Set by `ops/run` alone, for a database with one login for everything: the process may log in
    /// as the owner of the log. No variable, so that no production does.
    pub may_own_database: bool,
    /// `REDIS_URL`: watched by `/health/ready`, never needed for an answer; none when unset.
    pub redis_url: Option<Secret>,
    /// `CHECKOUT_LISTEN`: where shoppers are answered; `127.0.0.1:8080` when unset.
    pub listen: SocketAddr,
    /// `CHECKOUT_ADMIN_LISTEN`: where administrators are answered; `127.0.0.1:8082` when unset.
    pub admin_listen: SocketAddr,
    /// `CHECKOUT_OPS_LISTEN`: health, metrics, version; `127.0.0.1:9080` when unset.
    pub ops_listen: SocketAddr,
    /// `ACCESS_TOKEN_SIGNING_KEY`: signs access tokens; an Ed25519 private key in base64 (32 bytes
    /// or PKCS#8). Given to this process alone.
    pub access_token_signing_key: Secret,
    /// `ACCESS_TOKEN_VERIFYING_KEYS`: verify access tokens; one or two Ed25519 public keys in base64,
    /// separated by a comma, that of the signing key among them.
    pub access_token_verifying_keys: String,
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
    pub cors_origins: Origins,
    /// `TRUSTED_PROXIES`, `CHECKOUT_CONNECTIONS_MAX`, `DRAIN_DELAY_SECONDS`: see [`EdgeConfig`].
    pub edge: EdgeConfig,
    /// `CHECKOUT_DATABASE_CONNECTIONS`: most connections for appends, and as many again for loads
    /// and for accounts, 1 to 200; 8 when unset.
    pub database_connections_max: usize,
    /// `PASSWORD_HASHES_MAX`: passwords hashed at once, 1 to 64; a quarter of the cores when unset.
    pub password_hashes_max: usize,
    /// How often one address, account or user may ask: see [`LimitConfig`].
    pub limits: LimitConfig,
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
            listen: settings.value("CHECKOUT_LISTEN")?,
            admin_listen: settings.value("CHECKOUT_ADMIN_LISTEN")?,
            ops_listen: settings.value("CHECKOUT_OPS_LISTEN")?,
            access_token_signing_key: settings.secret("ACCESS_TOKEN_SIGNING_KEY")?,
            access_token_verifying_keys: settings.required("ACCESS_TOKEN_VERIFYING_KEYS")?,
            master_key: settings.secret("MASTER_KEY")?,
            digest_pepper: settings.secret("DIGEST_PEPPER")?,
            return_url_key: settings.secret("RETURN_URL_KEY")?,
            public_base_url: settings.required("PUBLIC_BASE_URL")?,
            payment_result_url: settings.optional_value("PAYMENT_RESULT_URL")?,
            cors_origins: settings.optional_value("CORS_ORIGINS")?.unwrap_or_default(),
            edge: EdgeConfig::load(&settings, "CHECKOUT_CONNECTIONS_MAX")?,
            database_connections_max: settings.value("CHECKOUT_DATABASE_CONNECTIONS")?,
            password_hashes_max: settings
                .optional_value("PASSWORD_HASHES_MAX")?
                .unwrap_or_else(password_hashes_default),
            limits: LimitConfig::load(&settings)?,
            payment_wait_max: Duration::from_secs(settings.value("PAYMENT_WAIT_SECONDS")?),
            feed_watcher: settings.value("FEED_WATCHER")?,
            log_format: settings.value("LOG_FORMAT")?,
            log_filter: settings.optional_value("LOG_FILTER")?.unwrap_or_default(),
            clock: ClockSource::load(&settings)?,
        };
        config.check()?;
        Ok(config)
    }

    /// Whether the values can be used for what they are for, which their shapes alone don't tell.
    fn check(&self) -> Result<(), ConfigError> {
        let (signing, verifying) =
            (&self.access_token_signing_key, &self.access_token_verifying_keys);
        ConfigError::of_all([
            TokenVerifier::new(verifying, Audience::Shop).map(drop),
            TokenSigner::new(signing, verifying).map(drop),
            MasterKey::from_base64(&self.master_key).map(drop),
            Pepper::new(&self.digest_pepper).map(drop),
            ReturnUrls::new(&self.return_url_key, &self.public_base_url).map(drop),
        ])
    }
}

fn password_hashes_default() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    (cores / CORES_PER_PASSWORD_HASH).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<'a>(name: &'a str, value: &'a str) -> impl Fn(&str) -> Option<String> + 'a {
        move |asked| match asked {
            _ if asked == name => Some(value.to_owned()),
            "DATABASE_URL" => Some("postgres://shop:hunter2@db/shop".to_owned()),
            "ACCESS_TOKEN_SIGNING_KEY" => {
                Some("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=".to_owned())
            }
            "ACCESS_TOKEN_VERIFYING_KEYS" => {
                Some("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".to_owned())
            }
            "DIGEST_PEPPER" => Some("pepper of the tests, 32 bytes or more".to_owned()),
            "RETURN_URL_KEY" => Some("return key of the tests, 32 bytes or more".to_owned()),
            "MASTER_KEY" => Some("Q0hBT1MtbWFzdGVyLWtleS0zMi1ieXRlcy1sb25nISE=".to_owned()),
            "PUBLIC_BASE_URL" => Some("https://shop.example".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn seven_settings_are_enough() {
        let config = CheckoutConfig::load(with("", "")).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.payment_wait_max, Duration::from_secs(10));
        assert_eq!(config.cors_origins, Origins::default());
        assert_eq!(config.edge.trusted_proxies.to_string(), "");
    }

    /// Two hashes at once took both cores of a machine of two.
    #[test]
    fn hashing_takes_at_most_a_quarter_of_the_cores() {
        let cores = std::thread::available_parallelism().unwrap().get();
        let config = CheckoutConfig::load(with("", "")).unwrap();
        assert_eq!(config.password_hashes_max, (cores / 4).max(1));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (name, value) in [
            ("PUBLIC_BASE_URL", ""),
            ("CHECKOUT_LISTEN", "8080"),
            ("CORS_ORIGINS", "https://shop.example/"),
            ("CORS_ORIGINS", "*"),
            ("PAYMENT_RESULT_URL", "javascript:alert(1)"),
            ("PUBLIC_BASE_URL", "http://shop.example"),
            ("DATABASE_URL", "postgres://shop:hunter2@db/shop?sslmode=disable"),
            ("REDIS_URL", "redis://cache.example"),
            ("MASTER_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            ("PAYMENT_WAIT_SECONDS", "60"),
            ("FEED_WATCHER", "maybe"),
            ("LOGIN_ACCOUNT_TRIES", "many"),
            ("TRUSTED_PROXIES", "true"),
            ("DRAIN_DELAY_SECONDS", "-1"),
        ] {
            let error = CheckoutConfig::load(with(name, value)).unwrap_err();
            assert!(error.to_string().starts_with(name), "{error}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = format!("{:?}", CheckoutConfig::load(with("", "")).unwrap());
        assert!(!shown.contains("hunter2") && !shown.contains("32 bytes"), "{shown}");
    }
}

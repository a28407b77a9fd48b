//! What `worker` can be told, and by which variable.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use service_kit::config::{ConfigError, Secret, Settings};
use service_kit::telemetry::LogFormat;
use url::Url;

use crate::breaker::BreakerPolicy;
use crate::gateway::lane::LanePolicy;
use crate::relay::{RelayPolicy, RetryPolicy};

/// Test merchant codes of KakaoPay; need no contract.
const CID_ONE_TIME_DEFAULT: &str = "TC0ONETIME";
const CID_RECURRING_DEFAULT: &str = "TCSUBSCRIP";

/// Calls of shoppers under way at once: 2,000 may wait for a slow gateway, and others still pay.
const CHECKOUT_CALLS_DEFAULT: usize = 2_500;

/// Everything `worker` reads from its environment, and nothing else.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// `DATABASE_URL`: the one PostgreSQL.
    pub database_url: Secret,
    /// `WORKER_OPS_LISTEN`: where operators find health and metrics; `127.0.0.1:9083` when unset.
    pub ops_listen: SocketAddr,
    /// `WORKER_DATABASE_CONNECTIONS`: most connections of relay, reactions and schedule together,
    /// 4 to 100; 8 when unset. The event store has its own.
    pub database_connections_max: usize,
    /// `KAKAOPAY_BASE_URL`: scheme, host and port of KakaoPay's API.
    pub kakaopay_base_url: Url,
    /// `KAKAOPAY_SECRET_KEY`: the key of our application at KakaoPay.
    pub kakaopay_secret_key: Secret,
    /// `KAKAOPAY_CID_ONE_TIME`: the merchant code of payments made once; the test code when unset.
    pub kakaopay_cid_one_time: String,
    /// `KAKAOPAY_CID_ONE_TIME_SECRET`: that code's own key, if it has one.
    pub kakaopay_cid_one_time_secret: Option<Secret>,
    /// `KAKAOPAY_CID_RECURRING`: the merchant code of recurring payments; the test code when unset.
    pub kakaopay_cid_recurring: String,
    /// `KAKAOPAY_CID_RECURRING_SECRET`: that code's own key, if it has one.
    pub kakaopay_cid_recurring_secret: Option<Secret>,
    /// `PUBLIC_BASE_URL`: where shoppers' browsers reach checkout-api.
    pub public_base_url: String,
    /// `RETURN_URL_KEY`: at least 32 bytes; the same as checkout-api's.
    pub return_url_key: Secret,
    /// `MASTER_KEY`: 32 bytes in base64; unwraps the users' keys.
    pub master_key: Secret,
    /// `DIGEST_PEPPER`: at least 32 bytes; the payers' pseudonyms hang from it. Must never change:
    /// recurring keys are bound to them.
    pub digest_pepper: Secret,
    /// How calls are restrained.
    pub gateway: GatewayPolicy,
    /// `RELAY_ROWS_MAX`, `RELAY_POLL_MS`: how the relay works through the outbox.
    pub relay: RelayPolicy,
    /// When calls and look-ups are tried again.
    pub retries: RetryPolicy,
    /// `RELAY_LEASE_MS`: how long a row stays claimed after its worker died; 10,000 when unset.
    pub lease: Duration,
    /// `LOG_FORMAT`: `json` or `text`; `json` when unset. Used by the binary alone.
    pub log_format: LogFormat,
}

/// Time-outs and limits of the calls to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayPolicy {
    /// `KAKAOPAY_CONNECT_TIMEOUT_MS`: 3,000 when unset.
    pub connect_timeout: Duration,
    /// `KAKAOPAY_CALL_TIMEOUT_MS`: 12,000 when unset, because KakaoPay gives up after 11 s.
    pub call_timeout: Duration,
    /// `KAKAOPAY_CHECKOUT_CALLS_MAX`: ready, approve and cancel under way at once; 2,500 when
    /// unset. A call that waits costs a socket and some tens of KiB.
    pub checkout: LanePolicy,
    /// `KAKAOPAY_CHARGE_CALLS_MAX`: recurring charges under way at once; 16 when unset.
    pub charge: LanePolicy,
    /// `KAKAOPAY_LOOK_UP_CALLS_MAX`: questions under way at once; 32 when unset.
    pub look_up: LanePolicy,
}

impl Default for GatewayPolicy {
    fn default() -> Self {
        let lane = |calls_max| LanePolicy {
            calls_max,
            place_wait: Duration::from_secs(1),
            breaker: BreakerPolicy::default(),
        };
        Self {
            connect_timeout: kakaopay::ClientConfig::CONNECT_TIMEOUT,
            call_timeout: kakaopay::ClientConfig::CALL_TIMEOUT,
            checkout: lane(CHECKOUT_CALLS_DEFAULT),
            charge: lane(16),
            look_up: lane(32),
        }
    }
}

impl WorkerConfig {
    /// Reads the configuration through `lookup` and compares what depends on each other.
    ///
    /// # Errors
    /// Names the first variable that is missing or cannot be used, without its value.
    pub fn load(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let settings = Settings::new(lookup);
        let text = |name: &str, default: &str| {
            settings.optional(name).unwrap_or_else(|| default.to_owned())
        };
        let base_url = settings.required("KAKAOPAY_BASE_URL")?;
        let config = Self {
            database_url: settings.secret("DATABASE_URL")?,
            ops_listen: settings
                .parsed("WORKER_OPS_LISTEN", SocketAddr::from((Ipv4Addr::LOCALHOST, 9083)))?,
            database_connections_max: settings.number("WORKER_DATABASE_CONNECTIONS", 8, 4..=100)?,
            kakaopay_base_url: base_url.trim().parse().map_err(|_malformed| {
                ConfigError::invalid("KAKAOPAY_BASE_URL", "expected a web address")
            })?,
            kakaopay_secret_key: settings.secret("KAKAOPAY_SECRET_KEY")?,
            kakaopay_cid_one_time: text("KAKAOPAY_CID_ONE_TIME", CID_ONE_TIME_DEFAULT),
            kakaopay_cid_one_time_secret: settings.optional_secret("KAKAOPAY_CID_ONE_TIME_SECRET"),
            kakaopay_cid_recurring: text("KAKAOPAY_CID_RECURRING", CID_RECURRING_DEFAULT),
            kakaopay_cid_recurring_secret: settings
                .optional_secret("KAKAOPAY_CID_RECURRING_SECRET"),
            public_base_url: settings.required("PUBLIC_BASE_URL")?,
            return_url_key: settings.secret("RETURN_URL_KEY")?,
            master_key: settings.secret("MASTER_KEY")?,
            digest_pepper: settings.secret("DIGEST_PEPPER")?,
            gateway: gateway(&settings)?,
            relay: relay(&settings)?,
            retries: RetryPolicy::default(),
            lease: millis(&settings, "RELAY_LEASE_MS", Duration::from_secs(10))?,
            log_format: settings.parsed("LOG_FORMAT", LogFormat::Json)?,
        };
        config.check()?;
        Ok(config)
    }

    /// Compares the settings that depend on each other: whoever waits must wait longer than what
    /// it waits for.
    ///
    /// # Errors
    /// Names the variable that doesn't fit.
    pub fn check(&self) -> Result<(), ConfigError> {
        let GatewayPolicy { connect_timeout, call_timeout, checkout, look_up, .. } = self.gateway;
        if call_timeout <= connect_timeout {
            return Err(ConfigError::invalid(
                "KAKAOPAY_CALL_TIMEOUT_MS",
                "expected more than KAKAOPAY_CONNECT_TIMEOUT_MS",
            ));
        }
        if self.lease < LEASE_MIN {
            return Err(ConfigError::invalid("RELAY_LEASE_MS", "expected at least 1000"));
        }
        // A row under way at the end may be looked up and then called, and must be written down.
        let longest = (call_timeout * 2) + checkout.place_wait + look_up.place_wait;
        if self.relay.drain < longest {
            return Err(ConfigError::invalid(
                "KAKAOPAY_CALL_TIMEOUT_MS",
                "expected two calls and their waits to fit the time to drain",
            ));
        }
        Ok(())
    }
}

/// A lease shorter than a slow database's pause would be lost by workers that are fine.
const LEASE_MIN: Duration = Duration::from_secs(1);

fn gateway(settings: &Settings<'_>) -> Result<GatewayPolicy, ConfigError> {
    let default = GatewayPolicy::default();
    let lane = |name: &str, lane: LanePolicy| {
        let calls_max = settings.number(name, lane.calls_max, 1..=5_000)?;
        Ok::<_, ConfigError>(LanePolicy { calls_max, ..lane })
    };
    Ok(GatewayPolicy {
        connect_timeout: millis(settings, "KAKAOPAY_CONNECT_TIMEOUT_MS", default.connect_timeout)?,
        call_timeout: millis(settings, "KAKAOPAY_CALL_TIMEOUT_MS", default.call_timeout)?,
        checkout: lane("KAKAOPAY_CHECKOUT_CALLS_MAX", default.checkout)?,
        charge: lane("KAKAOPAY_CHARGE_CALLS_MAX", default.charge)?,
        look_up: lane("KAKAOPAY_LOOK_UP_CALLS_MAX", default.look_up)?,
    })
}

fn relay(settings: &Settings<'_>) -> Result<RelayPolicy, ConfigError> {
    let default = RelayPolicy::default();
    Ok(RelayPolicy {
        rows_max: settings.number("RELAY_ROWS_MAX", default.rows_max, 1..=10_000)?,
        poll: millis(settings, "RELAY_POLL_MS", default.poll)?,
        ..default
    })
}

/// A duration in milliseconds, at most an hour.
fn millis(settings: &Settings<'_>, name: &str, default: Duration) -> Result<Duration, ConfigError> {
    let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
    settings.number(name, default, 1..=3_600_000).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> Option<String> {
        let value = match name {
            "DATABASE_URL" => "postgres://shop:hunter2@db/shop",
            "KAKAOPAY_BASE_URL" => "https://open-api.kakaopay.com",
            "KAKAOPAY_SECRET_KEY" => "DEV0000",
            "PUBLIC_BASE_URL" => "https://shop.example",
            "RETURN_URL_KEY" | "DIGEST_PEPPER" => "0123456789abcdef0123456789abcdef",
            "MASTER_KEY" => "bWFzdGVy",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn the_defaults_fit_each_other() {
        let config = WorkerConfig::load(table).unwrap();
        assert_eq!(config.kakaopay_cid_one_time, "TC0ONETIME");
        assert_eq!(config.relay.poll, Duration::from_millis(250));
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_missing_setting_is_named() {
        let without = |name: &str| table(name).filter(|_| name != "MASTER_KEY");
        assert_eq!(WorkerConfig::load(without).unwrap_err().to_string(), "MASTER_KEY is not set");
    }

    #[test]
    fn settings_that_do_not_fit_each_other_are_refused() {
        for (wrong, value, named) in [
            ("RELAY_LEASE_MS", "500", "RELAY_LEASE_MS: "),
            ("KAKAOPAY_CONNECT_TIMEOUT_MS", "12000", "KAKAOPAY_CALL_TIMEOUT_MS: "),
            ("KAKAOPAY_CALL_TIMEOUT_MS", "20000", "KAKAOPAY_CALL_TIMEOUT_MS: "),
        ] {
            let lookup = |name: &str| {
                if name == wrong { Some(value.to_owned()) } else { table(name) }
            };
            let error = WorkerConfig::load(lookup).unwrap_err();
            assert!(error.to_string().starts_with(named), "{error}");
        }
    }
}

//! What `worker` can be told, and by which variable.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use service_kit::clock_source::ClockSource;
use service_kit::config::{ConfigError, Secret, Settings};
use service_kit::telemetry::{LogFilter, LogFormat};
use url::Url;

use crate::breaker::BreakerPolicy;
use crate::gateway::lane::LanePolicy;
use crate::gateway::throttle::RatePolicy;
use crate::relay::decide::REFUND_MARGIN;
use crate::relay::{RelayPolicy, RetryPolicy};

/// Test merchant codes of KakaoPay; need no contract.
const CID_ONE_TIME_DEFAULT: &str = "TC0ONETIME";
const CID_RECURRING_DEFAULT: &str = "TCSUBSCRIP";

/// Calls of shoppers under way at once: 2,000 may wait for a slow gateway, and others still pay.
const CHECKOUT_CALLS_DEFAULT: usize = 2_500;
/// KakaoPay publishes no number of calls per second, only that there is one. A thousand checkouts a
/// second are two thousand calls; this is a fuse against a loop of ours, not a brake on shoppers.
const CHECKOUT_RATE_DEFAULT: u32 = 4_000;
/// 72,000 charges an hour: a night's billing run, without drawing KakaoPay's attention.
const CHARGE_RATE_DEFAULT: u32 = 20;
/// A worst case of 2,500 approvals in doubt at once is looked up in half a minute.
const LOOK_UP_RATE_DEFAULT: u32 = 100;
/// Most calls per second that can be set: more than one process gets through.
const RATE_MAX: u32 = 100_000;
/// A burst of more than so many seconds' worth of calls would be no limit any more.
const BURST_SECONDS_MAX: u32 = 10;

/// Everything `worker` reads from its environment, and nothing else.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// `DATABASE_URL`: the one PostgreSQL.
    pub database_url: Secret,
    /// `WORKER_OPS_LISTEN`: where operators find health and metrics; `127.0.0.1:9083` when unset.
    pub ops_listen: SocketAddr,
    /// `WORKER_DATABASE_CONNECTIONS`: most connections of relay, reactions and schedule together,
    /// 6 to 100; 8 when unset. A fold holds one and reads the log through another: with no more than
    /// there are folds, which are four, each would wait for the others. The event store has its own.
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
    /// `RELAY_ROWS_MAX`, `RELAY_BACKGROUND_ROWS_MAX`, `RELAY_POLL_MS`: how the relay works through the outbox.
    pub relay: RelayPolicy,
    /// When calls and look-ups are tried again.
    pub retries: RetryPolicy,
    /// `RELAY_LEASE_MS`: how long a row stays claimed after its worker died; 10,000 when unset.
    pub lease: Duration,
    /// `LOG_FORMAT`: `json` or `text`; `json` when unset. Used by the binary alone.
    pub log_format: LogFormat,
    /// `LOG_FILTER`: levels that replace the defaults, as in `info,projections=debug`; `info` when unset.
    pub log_filter: LogFilter,
    /// `CLOCK_FILE`, with `CLOCK_SETTABLE=1`: a file of seconds by which the clock is moved. Development
    /// only; the machine's clock when unset.
    pub clock: ClockSource,
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
    /// `KAKAOPAY_CHECKOUT_CALLS_PER_SECOND`: how many of them a second, in this process; 4,000 when
    /// unset. `KAKAOPAY_CHECKOUT_CALLS_BURST`: how many at once after a rest; a second's worth when
    /// unset.
    pub checkout: LanePolicy,
    /// `KAKAOPAY_CHARGE_CALLS_MAX`: recurring charges under way at once; 16 when unset.
    /// `KAKAOPAY_CHARGE_CALLS_PER_SECOND`: 20 when unset; `KAKAOPAY_CHARGE_CALLS_BURST`.
    pub charge: LanePolicy,
    /// `KAKAOPAY_LOOK_UP_CALLS_MAX`: questions under way at once; 32 when unset.
    /// `KAKAOPAY_LOOK_UP_CALLS_PER_SECOND`: 100 when unset; `KAKAOPAY_LOOK_UP_CALLS_BURST`.
    pub look_up: LanePolicy,
}

impl Default for GatewayPolicy {
    fn default() -> Self {
        let lane = |calls_max, per_second| LanePolicy {
            calls_max,
            rate: RatePolicy::per_second(NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN)),
            place_wait: Duration::from_secs(1),
            breaker: BreakerPolicy::default(),
        };
        Self {
            connect_timeout: kakaopay::ClientConfig::CONNECT_TIMEOUT,
            call_timeout: kakaopay::ClientConfig::CALL_TIMEOUT,
            checkout: lane(CHECKOUT_CALLS_DEFAULT, CHECKOUT_RATE_DEFAULT),
            charge: lane(16, CHARGE_RATE_DEFAULT),
            look_up: lane(32, LOOK_UP_RATE_DEFAULT),
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
        let gateway = gateway(&settings)?;
        let config = Self {
            database_url: settings.secret("DATABASE_URL")?,
            ops_listen: settings
                .parsed("WORKER_OPS_LISTEN", SocketAddr::from((Ipv4Addr::LOCALHOST, 9083)))?,
            database_connections_max: settings.number("WORKER_DATABASE_CONNECTIONS", 8, 6..=100)?,
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
            gateway,
            relay: relay(&settings)?,
            retries: RetryPolicy {
                refund_repeat_after: gateway.call_timeout + REFUND_MARGIN,
                ..RetryPolicy::default()
            },
            lease: millis(&settings, "RELAY_LEASE_MS", Duration::from_secs(10))?,
            log_format: settings.parsed("LOG_FORMAT", LogFormat::Json)?,
            log_filter: settings.parsed("LOG_FILTER", LogFilter::default())?,
            clock: ClockSource::load(&settings)?,
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
        let GatewayPolicy { connect_timeout, call_timeout, checkout, charge, look_up } =
            self.gateway;
        if call_timeout <= connect_timeout {
            return Err(ConfigError::invalid(
                "KAKAOPAY_CALL_TIMEOUT_MS",
                "expected more than KAKAOPAY_CONNECT_TIMEOUT_MS",
            ));
        }
        if self.lease < LEASE_MIN {
            return Err(ConfigError::invalid("RELAY_LEASE_MS", "expected at least 1000"));
        }
        for (names, lane) in [(CHECKOUT, checkout), (CHARGE, charge), (LOOK_UP, look_up)] {
            check_rate(names, lane)?;
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

/// The variables of one class of calls.
#[derive(Debug, Clone, Copy)]
struct LaneVariables {
    calls_max: &'static str,
    calls_per_second: &'static str,
    burst: &'static str,
}

const CHECKOUT: LaneVariables = LaneVariables {
    calls_max: "KAKAOPAY_CHECKOUT_CALLS_MAX",
    calls_per_second: "KAKAOPAY_CHECKOUT_CALLS_PER_SECOND",
    burst: "KAKAOPAY_CHECKOUT_CALLS_BURST",
};
const CHARGE: LaneVariables = LaneVariables {
    calls_max: "KAKAOPAY_CHARGE_CALLS_MAX",
    calls_per_second: "KAKAOPAY_CHARGE_CALLS_PER_SECOND",
    burst: "KAKAOPAY_CHARGE_CALLS_BURST",
};
const LOOK_UP: LaneVariables = LaneVariables {
    calls_max: "KAKAOPAY_LOOK_UP_CALLS_MAX",
    calls_per_second: "KAKAOPAY_LOOK_UP_CALLS_PER_SECOND",
    burst: "KAKAOPAY_LOOK_UP_CALLS_BURST",
};

/// A limit per second must leave each call a chance, and must remain a limit.
fn check_rate(names: LaneVariables, lane: LanePolicy) -> Result<(), ConfigError> {
    let RatePolicy { calls_per_second, burst } = lane.rate;
    if lane.place_wait < lane.rate.interval() {
        return Err(ConfigError::invalid(
            names.calls_per_second,
            "expected at least one call within the time that a call waits for its place",
        ));
    }
    if calls_per_second.get().saturating_mul(BURST_SECONDS_MAX) < burst.get() {
        return Err(ConfigError::invalid(
            names.burst,
            format!("expected at most {BURST_SECONDS_MAX} seconds' worth of calls"),
        ));
    }
    Ok(())
}

fn gateway(settings: &Settings<'_>) -> Result<GatewayPolicy, ConfigError> {
    let default = GatewayPolicy::default();
    let lane = |names: LaneVariables, lane: LanePolicy| {
        let calls_max = settings.number(names.calls_max, lane.calls_max, 1..=5_000)?;
        let rates = NonZeroU32::MIN..=NonZeroU32::new(RATE_MAX).unwrap_or(NonZeroU32::MAX);
        let calls_per_second = lane.rate.calls_per_second;
        let calls_per_second =
            settings.number(names.calls_per_second, calls_per_second, rates.clone())?;
        let burst = settings.number(names.burst, calls_per_second, rates)?;
        let rate = RatePolicy { calls_per_second, burst };
        Ok::<_, ConfigError>(LanePolicy { calls_max, rate, ..lane })
    };
    Ok(GatewayPolicy {
        connect_timeout: millis(settings, "KAKAOPAY_CONNECT_TIMEOUT_MS", default.connect_timeout)?,
        call_timeout: millis(settings, "KAKAOPAY_CALL_TIMEOUT_MS", default.call_timeout)?,
        checkout: lane(CHECKOUT, default.checkout)?,
        charge: lane(CHARGE, default.charge)?,
        look_up: lane(LOOK_UP, default.look_up)?,
    })
}

fn relay(settings: &Settings<'_>) -> Result<RelayPolicy, ConfigError> {
    let default = RelayPolicy::default();
    Ok(RelayPolicy {
        rows_max: settings.number("RELAY_ROWS_MAX", default.rows_max, 1..=10_000)?,
        background_rows_max: settings.number(
            "RELAY_BACKGROUND_ROWS_MAX",
            default.background_rows_max,
            1..=1_000,
        )?,
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
    fn each_class_of_calls_has_its_own_limit_per_second() {
        let config = WorkerConfig::load(|name| match name {
            "KAKAOPAY_CHARGE_CALLS_PER_SECOND" => Some("7".to_owned()),
            "KAKAOPAY_LOOK_UP_CALLS_BURST" => Some("300".to_owned()),
            _ => table(name),
        });
        let GatewayPolicy { checkout, charge, look_up, .. } = config.unwrap().gateway;
        let shown = [checkout, charge, look_up]
            .map(|lane| (lane.rate.calls_per_second.get(), lane.rate.burst.get()));
        assert_eq!(shown, [(4_000, 4_000), (7, 7), (100, 300)]);
    }

    #[test]
    fn a_turn_that_takes_longer_than_the_wait_for_it_is_refused() {
        let mut config = WorkerConfig::load(table).unwrap();
        config.gateway.look_up.place_wait = Duration::from_millis(9);
        let error = config.check().unwrap_err().to_string();
        assert!(error.starts_with("KAKAOPAY_LOOK_UP_CALLS_PER_SECOND: "), "{error}");
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
            ("KAKAOPAY_CHARGE_CALLS_PER_SECOND", "0", "KAKAOPAY_CHARGE_CALLS_PER_SECOND: "),
            ("KAKAOPAY_CHARGE_CALLS_BURST", "201", "KAKAOPAY_CHARGE_CALLS_BURST: "),
        ] {
            let lookup = |name: &str| {
                if name == wrong { Some(value.to_owned()) } else { table(name) }
            };
            let error = WorkerConfig::load(lookup).unwrap_err();
            assert!(error.to_string().starts_with(named), "{error}");
        }
    }
}

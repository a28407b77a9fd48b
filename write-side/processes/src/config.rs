//! What `worker` can be told, and by which variable.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use service_kit::clock_source::ClockSource;
use service_kit::config::{ConfigError, Secret, Settings};
use service_kit::digest::Pepper;
use service_kit::return_url::ReturnUrls;
use service_kit::telemetry::{LogFilter, LogFormat};
use service_kit::vault::MasterKey;
use url::Url;

use crate::breaker::BreakerPolicy;
use crate::gateway::lane::LanePolicy;
use crate::gateway::throttle::RatePolicy;
use crate::relay::decide::REFUND_MARGIN;
use crate::relay::{RelayPolicy, RetryPolicy};

mod codes;
mod table;

use codes::{MerchantCodes, is_on_this_machine};
pub use table::VARIABLES;

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
    /// Set by `ops/run` alone, for a database with one login for everything: the process may log in
    /// as the owner of the log. No variable, so that no production does.
    pub may_own_database: bool,
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
    /// `KAKAOPAY_CID_ONE_TIME`: the merchant code of payments made once; required unless the gateway is
    /// on this machine.
    pub kakaopay_cid_one_time: String,
    /// `KAKAOPAY_CID_ONE_TIME_SECRET`: that code's own key, if it has one.
    pub kakaopay_cid_one_time_secret: Option<Secret>,
    /// `KAKAOPAY_CID_RECURRING`: the merchant code of recurring payments; required unless the gateway is
    /// on this machine.
    pub kakaopay_cid_recurring: String,
    /// `KAKAOPAY_CID_RECURRING_SECRET`: that code's own key, if it has one.
    pub kakaopay_cid_recurring_secret: Option<Secret>,
    /// `KAKAOPAY_TEST_MODE`: whether test codes may be sent to another machine. Orders are then marked
    /// as paid without a payment.
    pub is_test_mode: bool,
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
    /// Names every variable that is missing or cannot be used, without its value.
    pub fn load(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let settings = Settings::of(VARIABLES, lookup)?;
        let gateway = gateway(&settings)?;
        let kakaopay_base_url: Url = settings.value("KAKAOPAY_BASE_URL")?;
        let cids = MerchantCodes::load(&settings, is_on_this_machine(&kakaopay_base_url))?;
        let config = Self {
            database_url: settings.database_url("DATABASE_URL")?,
            may_own_database: false,
            ops_listen: settings.value("WORKER_OPS_LISTEN")?,
            database_connections_max: settings.value("WORKER_DATABASE_CONNECTIONS")?,
            kakaopay_base_url,
            kakaopay_secret_key: settings.secret("KAKAOPAY_SECRET_KEY")?,
            kakaopay_cid_one_time: cids.one_time,
            kakaopay_cid_one_time_secret: settings.optional_secret("KAKAOPAY_CID_ONE_TIME_SECRET"),
            kakaopay_cid_recurring: cids.recurring,
            kakaopay_cid_recurring_secret: settings
                .optional_secret("KAKAOPAY_CID_RECURRING_SECRET"),
            is_test_mode: cids.is_test_mode,
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
            lease: millis(&settings, "RELAY_LEASE_MS")?,
            log_format: settings.value("LOG_FORMAT")?,
            log_filter: settings.optional_value("LOG_FILTER")?.unwrap_or_default(),
            clock: ClockSource::load(&settings)?,
        };
        config.check()?;
        Ok(config)
    }

    /// Compares the settings that depend on each other: whoever waits must wait longer than what
    /// it waits for.
    ///
    /// # Errors
    /// Names every variable that doesn't fit.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut faults = Vec::new();
        let GatewayPolicy { connect_timeout, call_timeout, checkout, charge, look_up } =
            self.gateway;
        if call_timeout <= connect_timeout {
            faults.push(ConfigError::invalid(
                "KAKAOPAY_CALL_TIMEOUT_MS",
                "expected more than KAKAOPAY_CONNECT_TIMEOUT_MS",
            ));
        }
        if self.lease < LEASE_MIN {
            faults.push(ConfigError::invalid("RELAY_LEASE_MS", "expected at least 1000"));
        }
        for (names, lane) in [(CHECKOUT, checkout), (CHARGE, charge), (LOOK_UP, look_up)] {
            faults.extend(check_rate(names, lane).err());
        }
        // A row under way at the end may be looked up and then called, and must be written down.
        let longest = (call_timeout * 2) + checkout.place_wait + look_up.place_wait;
        if self.relay.drain < longest {
            faults.push(ConfigError::invalid(
                "KAKAOPAY_CALL_TIMEOUT_MS",
                "expected two calls and their waits to fit the time to drain",
            ));
        }
        faults.extend(usable(self).err().map(ConfigError::each).unwrap_or_default());
        ConfigError::refuse(faults)
    }
}

/// Whether the values can be used for what they are for, which their shapes alone don't tell.
fn usable(config: &WorkerConfig) -> Result<(), ConfigError> {
    let client = crate::run::client_config(config).check().err();
    let client = client.and_then(|error| match error {
        kakaopay::ConfigError::BaseUrl => {
            Some(ConfigError::invalid("KAKAOPAY_BASE_URL", "expected a web address"))
        }
        kakaopay::ConfigError::SecretKey => {
            Some(ConfigError::invalid("KAKAOPAY_SECRET_KEY", "expected text for a header"))
        }
        // Compared before; the latter is no matter of a variable.
        kakaopay::ConfigError::Timeouts | kakaopay::ConfigError::Http(_) => None,
    });
    ConfigError::of_all([
        client.map_or(Ok(()), Err),
        crate::run::merchants(config).map(drop),
        MasterKey::from_base64(&config.master_key).map(drop),
        Pepper::new(&config.digest_pepper).map(drop),
        ReturnUrls::new(&config.return_url_key, &config.public_base_url).map(drop),
    ])
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
        let calls_per_second: NonZeroU32 = settings.value(names.calls_per_second)?;
        let burst = settings.optional_value(names.burst)?.unwrap_or(calls_per_second);
        let rate = RatePolicy { calls_per_second, burst };
        Ok::<_, ConfigError>(LanePolicy {
            calls_max: settings.value(names.calls_max)?,
            rate,
            ..lane
        })
    };
    Ok(GatewayPolicy {
        connect_timeout: millis(settings, "KAKAOPAY_CONNECT_TIMEOUT_MS")?,
        call_timeout: millis(settings, "KAKAOPAY_CALL_TIMEOUT_MS")?,
        checkout: lane(CHECKOUT, default.checkout)?,
        charge: lane(CHARGE, default.charge)?,
        look_up: lane(LOOK_UP, default.look_up)?,
    })
}

fn relay(settings: &Settings<'_>) -> Result<RelayPolicy, ConfigError> {
    Ok(RelayPolicy {
        rows_max: settings.value("RELAY_ROWS_MAX")?,
        background_rows_max: settings.value("RELAY_BACKGROUND_ROWS_MAX")?,
        poll: millis(settings, "RELAY_POLL_MS")?,
        ..RelayPolicy::default()
    })
}

fn millis(settings: &Settings<'_>, name: &str) -> Result<Duration, ConfigError> {
    settings.value(name).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> Option<String> {
        let value = match name {
            "DATABASE_URL" => "postgres://shop:hunter2@db/shop",
            "KAKAOPAY_BASE_URL" => "https://open-api.kakaopay.com",
            "KAKAOPAY_SECRET_KEY" => "DEV0000",
            "KAKAOPAY_CID_ONE_TIME" => "CA00000001",
            "KAKAOPAY_CID_RECURRING" => "CA00000002",
            "PUBLIC_BASE_URL" => "https://shop.example",
            "RETURN_URL_KEY" => "return key of the tests, 32 bytes or more",
            "DIGEST_PEPPER" => "pepper of the tests, 32 bytes or more",
            "MASTER_KEY" => "Q0hBT1MtbWFzdGVyLWtleS0zMi1ieXRlcy1sb25nISE=",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn the_defaults_fit_each_other() {
        let config = WorkerConfig::load(table).unwrap();
        assert_eq!(config.gateway, GatewayPolicy::default());
        let relay = RelayPolicy::default();
        assert_eq!(config.relay.rows_max, relay.rows_max);
        assert_eq!(config.relay.background_rows_max, relay.background_rows_max);
        assert_eq!(config.relay.poll, Duration::from_millis(250));
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    /// A forgotten merchant code meant KakaoPay's public test code: orders were paid and no money moved.
    #[test]
    fn a_forgotten_or_test_merchant_code_needs_a_simulator_or_an_explicit_test_mode() {
        let with = |set: &'static [(&str, &str)]| {
            WorkerConfig::load(move |name| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map_or_else(|| table(name), |(_, value)| Some((*value).to_owned()))
            })
        };
        let forgotten = with(&[("KAKAOPAY_CID_ONE_TIME", ""), ("KAKAOPAY_CID_RECURRING", "")]);
        let faults: Vec<String> =
            forgotten.unwrap_err().each().iter().map(ToString::to_string).collect();
        assert_eq!(
            faults,
            ["KAKAOPAY_CID_ONE_TIME is not set", "KAKAOPAY_CID_RECURRING is not set"]
        );

        let test_code = with(&[("KAKAOPAY_CID_ONE_TIME", "TC0ONETIME")]).unwrap_err().to_string();
        assert!(test_code.starts_with("KAKAOPAY_CID_ONE_TIME: "), "{test_code}");
        assert!(test_code.contains("KAKAOPAY_TEST_MODE=1"), "{test_code}");

        assert!(
            with(&[("KAKAOPAY_CID_ONE_TIME", "TC0ONETIME"), ("KAKAOPAY_TEST_MODE", "1")])
                .unwrap()
                .is_test_mode
        );

        let simulated = with(&[
            ("KAKAOPAY_BASE_URL", "http://127.0.0.1:9900"),
            ("KAKAOPAY_CID_ONE_TIME", ""),
            ("KAKAOPAY_CID_RECURRING", ""),
        ])
        .unwrap();
        assert_eq!(simulated.kakaopay_cid_one_time, "TC0ONETIME");
        assert_eq!(simulated.kakaopay_cid_recurring, "TCSUBSCRIP");
        assert!(!simulated.is_test_mode);
    }

    #[test]
    fn the_gateway_and_the_public_address_are_encrypted() {
        for name in ["KAKAOPAY_BASE_URL", "PUBLIC_BASE_URL"] {
            let plain = |asked: &str| match asked {
                _ if asked == name => Some("http://shop.example".to_owned()),
                _ => table(asked),
            };
            let error = WorkerConfig::load(plain).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}: expected an https address")), "{error}");
        }
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

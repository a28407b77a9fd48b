//! How often one user or one address may ask for something costly.
//!
//! Counted in this process alone: a limit protects the process and its database from one client, and
//! with several processes a client gets as many times the allowance. What must hold exactly is not a
//! limit but a rule of an aggregate. A limit that is off counts nothing.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use contracts::UserId;
use governor::clock::Clock as _;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use poem::http::{HeaderName, HeaderValue};
use service_kit::config::{ConfigError, Settings, Variable};
use service_kit::http::address_block;
use service_kit::problem::Problem;

use crate::metrics;

/// Checks between two sweeps of what is remembered about those who have stayed quiet.
const CHECKS_PER_SWEEP: u32 = 4096;

/// So many at once, and one more each time `refill` has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Requests at once.
    pub burst: NonZeroU32,
    /// Until another request is allowed.
    pub refill: Duration,
}

impl Allowance {
    /// `number` requests in `window`, all of them at once if need be; `None`, which is no limit, for 0.
    pub fn per(window: Duration, number: u32) -> Option<Self> {
        let burst = NonZeroU32::new(number)?;
        Some(Self { burst, refill: window / number })
    }

    /// `number` requests at once and another one each `refill`; `None`, which is no limit, for 0.
    fn refilled(number: u32, refill: Duration) -> Option<Self> {
        NonZeroU32::new(number).map(|burst| Self { burst, refill })
    }
}

/// A person who mistypes stays below.
pub(crate) const LOGIN_ACCOUNT_TRIES: Variable =
    most("LOGIN_ACCOUNT_TRIES", 10, "Logins at once per account; 0 for no limit.");
/// See its sentence.
pub(crate) const LOGIN_ACCOUNT_REFILL_SECONDS: Variable = Variable::number(
    "LOGIN_ACCOUNT_REFILL_SECONDS",
    30,
    1..=3_600,
    "Seconds until an account is allowed another login.",
);
/// Offices share an address.
pub(crate) const LOGIN_ADDRESS_TRIES: Variable =
    most("LOGIN_ADDRESS_TRIES", 200, "Logins at once per address; 0 for no limit.");
/// See its sentence.
pub(crate) const LOGIN_ADDRESS_REFILL_MS: Variable = Variable::number(
    "LOGIN_ADDRESS_REFILL_MS",
    200,
    1..=3_600_000,
    "Milliseconds until an address is allowed another login.",
);
/// A class signs up from one address.
pub(crate) const SIGN_UPS_PER_MINUTE: Variable =
    most("SIGN_UPS_PER_MINUTE", 30, "Sign-ups a minute and address; 0 for no limit.");
/// A person clicks more slowly.
pub(crate) const EDITS_PER_SECOND: Variable =
    most("EDITS_PER_SECOND", 5, "Requests a second by which a user writes; 0 for no limit.");
/// Each order is a stream of the log.
pub(crate) const ORDERS_PER_MINUTE: Variable =
    most("ORDERS_PER_MINUTE", 10, "Orders a minute and user; 0 for no limit.");
/// Each attempt costs a call of the gateway.
pub(crate) const PAYMENTS_PER_HOUR: Variable =
    most("PAYMENTS_PER_HOUR", 10, "Payment attempts an hour and user; 0 for no limit.");

const fn most(name: &'static str, default: u64, sentence: &'static str) -> Variable {
    Variable::number(name, default, 0..=1_000_000, sentence)
}

/// What the limits allow, each by its variable. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitConfig {
    /// `LOGIN_ACCOUNT_TRIES` at once per account (10 when unset, 0 for no limit), and another one
    /// every `LOGIN_ACCOUNT_REFILL_SECONDS` (30 when unset).
    pub login_per_account: Option<Allowance>,
    /// `LOGIN_ADDRESS_TRIES` logins at once per address (200 when unset, 0 for no limit), and another
    /// one every `LOGIN_ADDRESS_REFILL_MS` milliseconds (200 when unset).
    pub login_per_address: Option<Allowance>,
    /// `SIGN_UPS_PER_MINUTE` per address; 30 when unset, 0 for no limit.
    pub sign_ups_per_address: Option<Allowance>,
    /// `EDITS_PER_SECOND`: requests by which a user writes; 5 when unset, 0 for no limit.
    pub edits_per_user: Option<Allowance>,
    /// `ORDERS_PER_MINUTE` per user; 10 when unset, 0 for no limit.
    pub orders_per_user: Option<Allowance>,
    /// `PAYMENTS_PER_HOUR`: payment attempts per user; 10 when unset, 0 for no limit.
    pub payments_per_user: Option<Allowance>,
}

impl LimitConfig {
    /// No limit at all.
    pub const OFF: Self = Self {
        login_per_account: None,
        login_per_address: None,
        sign_ups_per_address: None,
        edits_per_user: None,
        orders_per_user: None,
        payments_per_user: None,
    };

    /// Reads the limits.
    ///
    /// # Errors
    /// Names the variable that cannot be used.
    pub fn load(settings: &Settings<'_>) -> Result<Self, ConfigError> {
        let number = |name: &str| settings.value::<u32>(name);
        let minute = Duration::from_mins(1);
        let account_refill = settings.value("LOGIN_ACCOUNT_REFILL_SECONDS")?;
        let address_refill = settings.value("LOGIN_ADDRESS_REFILL_MS")?;
        Ok(Self {
            login_per_account: Allowance::refilled(
                number("LOGIN_ACCOUNT_TRIES")?,
                Duration::from_secs(account_refill),
            ),
            login_per_address: Allowance::refilled(
                number("LOGIN_ADDRESS_TRIES")?,
                Duration::from_millis(address_refill),
            ),
            sign_ups_per_address: Allowance::per(minute, number("SIGN_UPS_PER_MINUTE")?),
            edits_per_user: Allowance::per(Duration::from_secs(1), number("EDITS_PER_SECOND")?),
            orders_per_user: Allowance::per(minute, number("ORDERS_PER_MINUTE")?),
            payments_per_user: Allowance::per(
                Duration::from_hours(1),
                number("PAYMENTS_PER_HOUR")?,
            ),
        })
    }
}

/// The limits of what signed-in shoppers do.
#[derive(Debug)]
pub(crate) struct UserLimits {
    /// Requests that write: edits of carts, orders, payments, cancellations, refunds.
    pub(crate) edits: Limit<UserId>,
    /// Orders placed; a repeated request is none.
    pub(crate) orders: Limit<UserId>,
    /// Payment attempts opened; asking for an open one again is none.
    pub(crate) payments: Limit<UserId>,
}

/// One allowance for each `K`.
#[derive(Debug)]
pub(crate) struct Limit<K: Clone + Hash + Eq> {
    name: &'static str,
    code: &'static str,
    counted: Option<Counted<K>>,
}

#[derive(Debug)]
struct Counted<K: Clone + Hash + Eq> {
    allowance: Allowance,
    buckets: DefaultKeyedRateLimiter<K>,
    checks: AtomicU32,
}

impl<K: Clone + Hash + Eq> Limit<K> {
    /// A limit with this name in `RateLimit` and this problem code; off without an allowance.
    pub(crate) fn new(
        name: &'static str,
        code: &'static str,
        allowance: Option<Allowance>,
    ) -> Self {
        let counted = allowance.map(|allowance| {
            let quota = Quota::with_period(allowance.refill)
                .unwrap_or(Quota::per_second(NonZeroU32::MIN))
                .allow_burst(allowance.burst);
            Counted { allowance, buckets: RateLimiter::keyed(quota), checks: AtomicU32::new(0) }
        });
        Self { name, code, counted }
    }

    /// Counts one request of `key`; 429 when its allowance is used up.
    pub(crate) fn check(&self, key: &K) -> Result<(), Problem> {
        let Some(counted) = &self.counted else {
            return Ok(());
        };
        counted.sweep();
        counted.buckets.check_key(key).map_err(|refused| {
            metrics::limited(self.name);
            let pause = refused.wait_time_from(counted.buckets.clock().now());
            self.problem(counted.allowance, pause)
        })
    }

    /// 429 in the words of the `RateLimit` draft.
    fn problem(&self, allowance: Allowance, pause: Duration) -> Problem {
        let (name, burst) = (self.name, allowance.burst);
        let window = allowance.refill.saturating_mul(burst.get()).as_secs().max(1);
        let seconds = pause.as_secs() + 1;
        let problem = Problem::too_many(self.code, "too many requests; wait a moment", pause);
        [
            ("ratelimit-policy", format!("\"{name}\";q={burst};w={window}")),
            ("ratelimit", format!("\"{name}\";r=0;t={seconds}")),
        ]
        .into_iter()
        .fold(problem, |problem, (header, value)| match HeaderValue::from_str(&value) {
            Ok(value) => problem.with_header(HeaderName::from_static(header), value),
            Err(_) => problem,
        })
    }
}

impl Limit<IpAddr> {
    /// Counts one request from `address`; those of an IPv6 subscriber count together. Without an
    /// address (a test without a socket) there is nothing to count by.
    pub(crate) fn check_address(&self, address: Option<IpAddr>) -> Result<(), Problem> {
        address.map_or(Ok(()), |address| self.check(&address_block(address)))
    }
}

impl<K: Clone + Hash + Eq> Counted<K> {
    fn sweep(&self) {
        if self.checks.fetch_add(1, Ordering::Relaxed) % CHECKS_PER_SWEEP == CHECKS_PER_SWEEP - 1 {
            self.buckets.retain_recent();
        }
    }
}

#[cfg(test)]
mod tests {
    use poem::IntoResponse;

    use service_kit::config::Table;

    use super::*;

    const LIMITS: Table = &[
        LOGIN_ACCOUNT_TRIES,
        LOGIN_ACCOUNT_REFILL_SECONDS,
        LOGIN_ADDRESS_TRIES,
        LOGIN_ADDRESS_REFILL_MS,
        SIGN_UPS_PER_MINUTE,
        EDITS_PER_SECOND,
        ORDERS_PER_MINUTE,
        PAYMENTS_PER_HOUR,
    ];

    /// The limits where only `set` is set.
    fn loaded(set: impl Fn(&str) -> Option<String>) -> LimitConfig {
        LimitConfig::load(&Settings::of(LIMITS, set).unwrap()).unwrap()
    }

    fn limit<K: Clone + Hash + Eq>(number: u32) -> Limit<K> {
        Limit::new(
            "try",
            "try.throttled",
            Allowance::per(Duration::from_hours(number.into()), number),
        )
    }

    #[test]
    fn each_key_has_its_own_allowance() {
        let limit = limit(2);
        assert!(limit.check(&"kim").is_ok());
        assert!(limit.check(&"kim").is_ok());
        let refused = limit.check(&"kim").unwrap_err();
        assert_eq!(refused.code(), "try.throttled");
        assert!(limit.check(&"lee").is_ok());

        let answer = refused.into_response();
        let header = |name: &str| answer.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(header("ratelimit-policy"), "\"try\";q=2;w=7200");
        assert!(header("ratelimit").starts_with("\"try\";r=0;t=3"), "{}", header("ratelimit"));
        assert!((3_000..=3_600).contains(&header("retry-after").parse::<u64>().unwrap()));
    }

    #[test]
    fn addresses_of_one_subscriber_count_together() {
        let limit = limit(3);
        for address in ["2001:db8::1", "2001:db8::2", "2001:db8::3"] {
            assert!(limit.check_address(Some(address.parse().unwrap())).is_ok());
        }
        assert!(limit.check_address(Some("2001:db8::4".parse().unwrap())).is_err());
        assert!(limit.check_address(Some("2001:db8:0:1::1".parse().unwrap())).is_ok());
        assert!(limit.check_address(None).is_ok());
    }

    #[test]
    fn zero_is_no_limit() {
        let limit = limit(0);
        assert!((0..1_000).all(|_| limit.check(&"kim").is_ok()));
        assert_eq!(loaded(|name| (!name.contains("REFILL")).then(|| "0".to_owned())), LimitConfig::OFF);
    }

    #[test]
    fn without_variables_a_shop_has_limits() {
        let limits = loaded(|_| None);
        assert_eq!(limits.edits_per_user, Allowance::per(Duration::from_secs(1), 5));
        assert_eq!(limits.orders_per_user, Allowance::per(Duration::from_mins(1), 10));
        assert_eq!(limits.payments_per_user, Allowance::per(Duration::from_hours(1), 10));
        assert_eq!(limits.sign_ups_per_address, Allowance::per(Duration::from_mins(1), 30));
        assert_eq!(limits.login_per_address.unwrap().burst.get(), 200);
    }
}

//! How often one client may ask for something costly.
//!
//! Counted in this process alone: a limit protects the process and its database from one client, and
//! with several processes a client gets as many times the allowance. What must hold exactly is not a
//! limit but a rule of an aggregate. A limit that is off counts nothing.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::Clock as _;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use metrics::{Unit, counter, describe_counter};
use poem::http::{HeaderName, HeaderValue};

use super::edge::{address_block, network_block};
use crate::problem::Problem;

/// Checks between two sweeps of what is remembered about those who have stayed quiet.
const CHECKS_PER_SWEEP: u32 = 4096;
/// An IPv6 /48 has the allowance of so many addresses: an office or a campus, and no more.
const ADDRESSES_PER_NETWORK: u32 = 16;
/// Requests refused because an allowance was used up, by limit.
const LIMITED_TOTAL: &str = "http_limited_total";

/// Describes the metric of refusals.
pub(super) fn describe_limits() {
    describe_counter!(LIMITED_TOTAL, Unit::Count, "requests refused by a rate limit");
}

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
    pub fn refilled(number: u32, refill: Duration) -> Option<Self> {
        NonZeroU32::new(number).map(|burst| Self { burst, refill })
    }
}

/// One allowance for each `K`.
#[derive(Debug)]
pub struct Limit<K: Clone + Hash + Eq> {
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
    pub fn new(name: &'static str, code: &'static str, allowance: Option<Allowance>) -> Self {
        let counted = allowance.map(|allowance| {
            let quota = Quota::with_period(allowance.refill)
                .unwrap_or(Quota::per_second(NonZeroU32::MIN))
                .allow_burst(allowance.burst);
            Counted { allowance, buckets: RateLimiter::keyed(quota), checks: AtomicU32::new(0) }
        });
        Self { name, code, counted }
    }

    /// Counts one request of `key`; 429 when its allowance is used up.
    pub fn check(&self, key: &K) -> Result<(), Problem> {
        let Some(counted) = &self.counted else {
            return Ok(());
        };
        counted.sweep();
        counted.buckets.check_key(key).map_err(|refused| {
            counter!(LIMITED_TOTAL, "limit" => self.name).increment(1);
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
    pub fn check_address(&self, address: Option<IpAddr>) -> Result<(), Problem> {
        address.map_or(Ok(()), |address| self.check(&address_block(address)))
    }
}

/// One allowance for each address, and a larger one for each IPv6 network of a site: a /48 has 65,536
/// subscribers' blocks, each of which would have an allowance of its own.
#[derive(Debug)]
pub struct AddressLimit {
    blocks: Limit<IpAddr>,
    networks: Limit<IpAddr>,
}

impl AddressLimit {
    /// A limit with this name in `RateLimit` and this problem code; off without an allowance.
    pub fn new(name: &'static str, code: &'static str, allowance: Option<Allowance>) -> Self {
        let of_network = allowance.map(|Allowance { burst, refill }| Allowance {
            burst: burst.saturating_mul(NonZeroU32::MIN.saturating_add(ADDRESSES_PER_NETWORK - 1)),
            refill: refill / ADDRESSES_PER_NETWORK,
        });
        Self {
            blocks: Limit::new(name, code, allowance),
            networks: Limit::new(name, code, of_network),
        }
    }

    /// Counts one request from `address`; 429 when its allowance or that of its network is used up.
    /// Without an address (a test without a socket) there is nothing to count by.
    pub fn check(&self, address: Option<IpAddr>) -> Result<(), Problem> {
        self.blocks.check_address(address)?;
        let site = address.map(network_block).filter(IpAddr::is_ipv6);
        site.map_or(Ok(()), |site| self.networks.check(&site))
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

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

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

    /// Each of the 65,536 networks of a site had an allowance of its own.
    #[test]
    fn a_site_has_the_allowance_of_sixteen_addresses() {
        let tries = AddressLimit::new("try", "try.throttled", Allowance::per(HOUR, 2));
        let allowed = (0..100)
            .filter(|number| tries.check(format!("2001:db8:0:{number:x}::1").parse().ok()).is_ok());
        assert_eq!(allowed.count(), 32);
        assert!(tries.check("2001:db8:1::1".parse().ok()).is_ok());
        // Each IPv4 address is somebody else's.
        assert!(
            (0..100).all(|number| tries.check(format!("203.0.113.{number}").parse().ok()).is_ok())
        );
    }

    #[test]
    fn zero_is_no_limit() {
        let limit = limit(0);
        assert!((0..1_000).all(|_| limit.check(&"kim").is_ok()));
    }
}

//! How often somebody may try to log in: per account and per address.
//!
//! Counted in this process alone, which is enough to make guessing slow; the count that outlives
//! the process stands beside the password hash. Unknown accounts are counted like known ones.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::Clock as _;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Checks between two sweeps of what is remembered about those who have stayed quiet.
const CHECKS_PER_SWEEP: u32 = 4096;

/// So many at once, and one more each time `refill` has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Tries at once.
    pub burst: NonZeroU32,
    /// Until another try is allowed.
    pub refill: Duration,
}

/// Too many tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Throttled {
    /// Until the next try is looked at.
    pub(crate) pause: Duration,
    /// The allowance that is used up.
    pub(crate) allowance: Allowance,
}

/// Counts tries to log in.
#[derive(Debug)]
pub(crate) struct LoginThrottle {
    accounts: Limiter<String>,
    addresses: Limiter<IpAddr>,
}

#[derive(Debug)]
struct Limiter<K: Clone + std::hash::Hash + Eq> {
    allowance: Allowance,
    buckets: DefaultKeyedRateLimiter<K>,
    checks: AtomicU32,
}

impl LoginThrottle {
    pub(crate) fn new(per_account: Allowance, per_address: Allowance) -> Self {
        Self { accounts: Limiter::new(per_account), addresses: Limiter::new(per_address) }
    }

    /// Counts one request from `address`.
    pub(crate) fn check_address(&self, address: Option<IpAddr>) -> Result<(), Throttled> {
        // Without an address (a test without a socket) there is nothing to count by.
        address.map_or(Ok(()), |address| self.addresses.check(&block_of(address)))
    }

    /// Counts one try for the account with this digest.
    pub(crate) fn check_account(&self, digest: &str) -> Result<(), Throttled> {
        self.accounts.check(&digest.to_owned())
    }
}

impl<K: Clone + std::hash::Hash + Eq> Limiter<K> {
    fn new(allowance: Allowance) -> Self {
        let quota = Quota::with_period(allowance.refill)
            .unwrap_or(Quota::per_second(NonZeroU32::MIN))
            .allow_burst(allowance.burst);
        Self { allowance, buckets: RateLimiter::keyed(quota), checks: AtomicU32::new(0) }
    }

    fn check(&self, key: &K) -> Result<(), Throttled> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % CHECKS_PER_SWEEP == CHECKS_PER_SWEEP - 1 {
            self.buckets.retain_recent();
        }
        self.buckets.check_key(key).map_err(|refused| {
            let pause = refused.wait_time_from(self.buckets.clock().now());
            Throttled { pause, allowance: self.allowance }
        })
    }
}

/// The address, or for IPv6 its /64: one subscriber has as many addresses there as they like.
fn block_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle() -> LoginThrottle {
        let allowance = |burst| Allowance {
            burst: NonZeroU32::new(burst).unwrap(),
            refill: Duration::from_hours(1),
        };
        LoginThrottle::new(allowance(2), allowance(3))
    }

    #[test]
    fn each_account_has_its_own_allowance() {
        let throttle = throttle();
        assert!(throttle.check_account("kim").is_ok());
        assert!(throttle.check_account("kim").is_ok());
        let refused = throttle.check_account("kim").unwrap_err();
        assert!(Duration::from_mins(50) < refused.pause, "{refused:?}");
        assert!(throttle.check_account("lee").is_ok());
    }

    #[test]
    fn addresses_of_one_subscriber_count_together() {
        let throttle = throttle();
        for address in ["2001:db8::1", "2001:db8::2", "2001:db8::3"] {
            assert!(throttle.check_address(Some(address.parse().unwrap())).is_ok());
        }
        assert!(throttle.check_address(Some("2001:db8::4".parse().unwrap())).is_err());
        assert!(throttle.check_address(Some("2001:db8:0:1::1".parse().unwrap())).is_ok());
        assert!(throttle.check_address(None).is_ok());
    }
}

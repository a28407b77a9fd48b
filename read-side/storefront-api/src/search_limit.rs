//! How often one address may search: a search costs the database hundreds of times what a page does.
//!
//! Counted in this process alone. Searches that are answered from the cache count too, so that what
//! is allowed does not depend on what others have asked for.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::Clock as _;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use poem::http::{HeaderName, HeaderValue};
use service_kit::problem::Problem;

/// Checks between two sweeps of what is remembered about those who have stayed quiet.
const CHECKS_PER_SWEEP: u32 = 4096;
/// So much of a minute's searches may come at once: a search, its filters and its next pages follow
/// each other quickly.
const BURSTS_PER_MINUTE: u32 = 4;
const MINUTE: Duration = Duration::from_mins(1);

/// Counts searches by address. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct SearchLimit(Option<Arc<Counts>>);

#[derive(Debug)]
struct Counts {
    burst: NonZeroU32,
    buckets: DefaultKeyedRateLimiter<IpAddr>,
    checks: AtomicU32,
}

impl SearchLimit {
    /// So many searches a minute and address; any number for 0.
    pub(crate) fn per_minute(searches: u32) -> Self {
        let Some(searches) = NonZeroU32::new(searches) else {
            return Self(None);
        };
        let burst = NonZeroU32::new(searches.get() / BURSTS_PER_MINUTE).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_minute(searches).allow_burst(burst);
        Self(Some(Arc::new(Counts {
            burst,
            buckets: RateLimiter::keyed(quota),
            checks: AtomicU32::new(0),
        })))
    }

    /// Counts one search from `address`.
    ///
    /// # Errors
    /// 429 when the address has used up what it may.
    pub(crate) fn check(&self, address: Option<IpAddr>) -> Result<(), Problem> {
        // Without an address (a test without a socket) there is nothing to count by.
        let (Some(counts), Some(address)) = (&self.0, address) else {
            return Ok(());
        };
        counts.check(block_of(address)).map_err(|pause| counts.refusal(pause))
    }
}

impl Counts {
    /// The pause until another search is allowed, when this one is not.
    fn check(&self, block: IpAddr) -> Result<(), Duration> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % CHECKS_PER_SWEEP == CHECKS_PER_SWEEP - 1 {
            self.buckets.retain_recent();
        }
        self.buckets
            .check_key(&block)
            .map_err(|refused| refused.wait_time_from(self.buckets.clock().now()))
    }

    /// 429 in the words of the `RateLimit` draft.
    fn refusal(&self, pause: Duration) -> Problem {
        let (burst, seconds) = (self.burst, pause.as_secs() + 1);
        let window = MINUTE.as_secs() / u64::from(BURSTS_PER_MINUTE);
        let problem = Problem::too_many("search.throttled", "too many searches", pause);
        [
            ("ratelimit-policy", format!("\"search\";q={burst};w={window}")),
            ("ratelimit", format!("\"search\";r=0;t={seconds}")),
        ]
        .into_iter()
        .fold(problem, |problem, (name, value)| match HeaderValue::from_str(&value) {
            Ok(value) => problem.with_header(HeaderName::from_static(name), value),
            Err(_) => problem,
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
    use poem::IntoResponse;

    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn each_address_may_search_so_often_and_is_told_when_again() {
        let limit = SearchLimit::per_minute(8);
        for _ in 0..2 {
            limit.check(address("192.0.2.1")).unwrap();
        }
        let response = limit.check(address("192.0.2.1")).unwrap_err().into_response();
        assert_eq!(response.status().as_u16(), 429);
        for (name, value) in [
            ("retry-after", "8"),
            ("ratelimit-policy", "\"search\";q=2;w=15"),
            ("ratelimit", "\"search\";r=0;t=8"),
        ] {
            assert_eq!(response.headers()[name], value, "{name}");
        }
        limit.check(address("192.0.2.2")).unwrap();
        limit.check(None).unwrap();
    }

    #[test]
    fn addresses_of_one_subscriber_count_together() {
        let limit = SearchLimit::per_minute(4);
        limit.check(address("2001:db8::1")).unwrap();
        limit.check(address("2001:db8::2")).unwrap_err();
        limit.check(address("2001:db8:0:1::1")).unwrap();
    }

    #[test]
    fn zero_is_no_limit() {
        let limit = SearchLimit::per_minute(0);
        assert!((0..1_000).all(|_| limit.check(address("192.0.2.1")).is_ok()));
    }
}

//! So many calls a second of one class, and no more: a gateway that is asked too often refuses
//! everybody.
//!
//! Callers pass in the order in which they came. One whose turn does not come before its deadline
//! is turned away at once, or at its deadline, and has used up nobody's turn. The limit is that of
//! one process: several workers share what the gateway allows by each having a part of it.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use service_kit::clock::SharedClock;
use tokio::time::{Instant, timeout_at};

use crate::steady::SteadyTime;

/// How often calls of a class may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RatePolicy {
    /// Calls per second in the long run.
    pub calls_per_second: NonZeroU32,
    /// Calls at once after a rest.
    pub burst: NonZeroU32,
}

impl RatePolicy {
    /// So many calls per second; after a rest, a second's worth at once.
    pub const fn per_second(calls: NonZeroU32) -> Self {
        Self { calls_per_second: calls, burst: calls }
    }

    /// How long one call's turn takes.
    pub fn interval(self) -> Duration {
        Duration::from_secs(1) / self.calls_per_second.get()
    }
}

/// Leave to make a call now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// There was no need to wait.
    AtOnce,
    /// After a wait for its turn.
    Late,
}

/// Not in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Throttled {
    /// Earliest time at which it makes sense to try again.
    pub(super) retry_after: Duration,
}

/// The turns of one class of calls.
pub(super) struct Throttle {
    limiter: RateLimiter<NotKeyed, InMemoryState, SteadyTime, NoOpMiddleware<Duration>>,
    /// Whoever holds it is the next one; the others wait in line, so that one turn wakes one.
    line: tokio::sync::Mutex<()>,
    interval: Duration,
    clock: SharedClock,
}

impl Throttle {
    pub(super) fn new(policy: RatePolicy, clock: SharedClock) -> Self {
        let quota = Quota::per_second(policy.calls_per_second).allow_burst(policy.burst);
        Self {
            limiter: RateLimiter::direct_with_clock(
                quota,
                SteadyTime::new(SharedClock::clone(&clock)),
            ),
            line: tokio::sync::Mutex::new(()),
            interval: policy.interval(),
            clock,
        }
    }

    /// Waits for a turn until `deadline` at most.
    pub(super) async fn pass(&self, deadline: Instant) -> Result<Passed, Throttled> {
        let mut passed = Passed::AtOnce;
        let Ok(_first) = timeout_at(deadline, self.line.lock()).await else {
            return Err(Throttled { retry_after: self.interval });
        };
        loop {
            let Err(pause) = self.turn() else {
                return Ok(passed);
            };
            // Waiting in vain would only keep those behind from hearing the same.
            if deadline.saturating_duration_since(Instant::now()) < pause {
                return Err(Throttled { retry_after: pause });
            }
            self.clock.sleep(pause).await;
            passed = Passed::Late;
        }
    }

    /// Takes a turn, or says how long the next one is away.
    fn turn(&self) -> Result<(), Duration> {
        self.limiter
            .check()
            .map_err(|not_until| not_until.wait_time_from(self.limiter.clock().now()))
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Throttle(one in {:?})", self.interval)
    }
}

impl governor::clock::Clock for SteadyTime {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use service_kit::clock::ManualClock;

    use super::*;

    fn throttle(calls_per_second: u32, burst: u32) -> (Throttle, ManualClock) {
        let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        let policy = RatePolicy {
            calls_per_second: NonZeroU32::new(calls_per_second).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        };
        (Throttle::new(policy, clock.shared()), clock)
    }

    #[test]
    fn a_burst_passes_and_then_one_for_each_interval() {
        let (throttle, clock) = throttle(10, 3);
        assert_eq!([throttle.turn(), throttle.turn(), throttle.turn()], [Ok(()); 3]);
        assert_eq!(throttle.turn(), Err(Duration::from_millis(100)));
        clock.advance(Duration::from_millis(40));
        assert_eq!(throttle.turn(), Err(Duration::from_millis(60)));
        clock.advance(Duration::from_millis(60));
        assert_eq!(throttle.turn(), Ok(()));
        assert_eq!(throttle.turn(), Err(Duration::from_millis(100)));
        clock.advance(Duration::from_hours(1));
        let passed = (0..10).filter(|_| throttle.turn().is_ok()).count();
        assert_eq!(passed, 3, "a rest saves up one burst and no more");
    }

    #[test]
    fn a_clock_that_is_set_back_closes_nothing() {
        let (throttle, clock) = throttle(10, 1);
        assert_eq!(throttle.turn(), Ok(()));
        clock.set("2026-11-23T09:00:00Z".parse().unwrap());
        assert_eq!(throttle.turn(), Err(Duration::from_millis(100)));
        clock.advance(Duration::from_millis(100));
        assert_eq!(throttle.turn(), Ok(()));
    }
}

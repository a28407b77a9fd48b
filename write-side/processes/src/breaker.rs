//! A circuit breaker over the last calls, so that an outage costs nothing while it lasts.
//!
//! Closed, it keeps the outcomes of the last `window` calls and opens when there are enough of them
//! and too many failed. Open, it admits nothing for a while. Then it lets a fixed number of probes
//! through and closes or opens again on their result. Time comes from the [`Clock`], so that tests
//! need not wait, and never runs backwards: a clock that is set back keeps no breaker open. Which
//! outcome is a failure is the caller's judgement: a declined payment is none.
//!
//! Why not a crate: ops/decisions/0007-own-circuit-breaker.md.
//!
//! [`Clock`]: service_kit::clock::Clock

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use service_kit::clock::SharedClock;

use crate::metrics;
use crate::steady::SteadyTime;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Calls that are remembered.
    pub window: usize,
    /// Fewest remembered calls on which to open: three failures at night are no outage.
    pub calls_min: usize,
    /// Share of failures, in percent, from which on it opens.
    pub failures_percent: usize,
    /// How long it stays open.
    pub open_for: Duration,
    /// Calls let through afterwards to find out whether it is over.
    pub probes: usize,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            window: 40,
            calls_min: 20,
            failures_percent: 75,
            open_for: Duration::from_secs(10),
            probes: 10,
        }
    }
}

/// How a breaker stands; the number is the value of its gauge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls pass.
    Closed = 0,
    /// A few calls pass, to see.
    HalfOpen = 1,
    /// No call passes.
    Open = 2,
}

impl BreakerState {
    const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// One breaker, for one class of calls. Clones are the same breaker.
#[derive(Clone)]
pub struct Breaker {
    class: &'static str,
    policy: BreakerPolicy,
    time: Arc<SteadyTime>,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    phase: Phase,
    /// Counts transitions: a result of an earlier phase says nothing about the present one.
    generation: u64,
}

enum Phase {
    Closed { failed: VecDeque<bool>, failures: usize },
    Open { until: Duration },
    HalfOpen { admitted: usize, succeeded: usize, failures: usize },
}

/// Leave to make one call. Dropped without a result (the call was cancelled) it counts for nothing.
#[must_use = "a call without a recorded result counts for nothing"]
pub struct Permit {
    breaker: Breaker,
    generation: u64,
    is_recorded: bool,
}

/// The breaker is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the breaker is open")]
pub struct BreakerOpen {
    /// How long at least.
    pub retry_after: Duration,
}

impl Breaker {
    /// A closed breaker; `class` labels its metrics.
    pub fn new(class: &'static str, policy: BreakerPolicy, clock: SharedClock) -> Self {
        metrics::breaker_state(class, BreakerState::Closed as u8);
        let inner = Arc::new(Mutex::new(Inner { phase: Phase::closed(), generation: 0 }));
        Self { class, policy, time: Arc::new(SteadyTime::new(clock)), inner }
    }

    /// How it stands now.
    pub fn state(&self) -> BreakerState {
        self.lock().phase.state()
    }

    /// How long it certainly admits nothing; `None` when a call may pass.
    pub fn open_for(&self) -> Option<Duration> {
        let Phase::Open { until } = self.lock().phase else {
            return None;
        };
        let left = until.saturating_sub(self.time.elapsed());
        (!left.is_zero()).then_some(left)
    }

    /// Leave to make a call.
    ///
    /// # Errors
    /// It is open, or all its probes are under way.
    pub fn admit(&self) -> Result<Permit, BreakerOpen> {
        let now = self.time.elapsed();
        let mut inner = self.lock();
        if let Phase::Open { until } = inner.phase {
            if now < until {
                metrics::breaker_rejected(self.class);
                return Err(BreakerOpen { retry_after: until.saturating_sub(now) });
            }
            let probing = Phase::HalfOpen { admitted: 0, succeeded: 0, failures: 0 };
            self.change(&mut inner, probing);
        }
        if let Phase::HalfOpen { admitted, .. } = &mut inner.phase {
            if self.policy.probes <= *admitted {
                metrics::breaker_rejected(self.class);
                return Err(BreakerOpen { retry_after: Duration::from_secs(1) });
            }
            *admitted += 1;
        }
        Ok(Permit { breaker: self.clone(), generation: inner.generation, is_recorded: false })
    }

    fn record(&self, generation: u64, is_failure: bool) {
        let mut inner = self.lock();
        if inner.generation != generation {
            return;
        }
        let policy = self.policy;
        let next = match &mut inner.phase {
            Phase::Open { .. } => None,
            Phase::Closed { failed, failures } => {
                if policy.window <= failed.len() && failed.pop_front() == Some(true) {
                    *failures -= 1;
                }
                failed.push_back(is_failure);
                *failures += usize::from(is_failure);
                let is_enough = policy.calls_min <= failed.len();
                (is_enough && policy.is_too_many(*failures, failed.len())).then(|| self.opened())
            }
            Phase::HalfOpen { succeeded, failures, .. } => {
                *succeeded += usize::from(!is_failure);
                *failures += usize::from(is_failure);
                if policy.is_too_many(*failures, policy.probes) {
                    Some(self.opened())
                } else {
                    (policy.probes <= *succeeded + *failures).then(Phase::closed)
                }
            }
        };
        if let Some(phase) = next {
            self.change(&mut inner, phase);
        }
    }

    /// Gives a probe's place back when its call never came to a result.
    fn give_back(&self, generation: u64) {
        let mut inner = self.lock();
        if inner.generation != generation {
            return;
        }
        if let Phase::HalfOpen { admitted, .. } = &mut inner.phase {
            *admitted = admitted.saturating_sub(1);
        }
    }

    fn opened(&self) -> Phase {
        Phase::Open { until: self.time.elapsed().saturating_add(self.policy.open_for) }
    }

    fn change(&self, inner: &mut Inner, phase: Phase) {
        let (from, to) = (inner.phase.state(), phase.state());
        inner.phase = phase;
        inner.generation += 1;
        metrics::breaker_state(self.class, to as u8);
        metrics::breaker_changed(self.class, to.name());
        tracing::warn!(class = self.class, from = from.name(), to = to.name(), "breaker changed");
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code under the lock can panic half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BreakerPolicy {
    const fn is_too_many(&self, failures: usize, calls: usize) -> bool {
        calls * self.failures_percent <= failures * 100
    }
}

impl Phase {
    const fn closed() -> Self {
        Self::Closed { failed: VecDeque::new(), failures: 0 }
    }

    const fn state(&self) -> BreakerState {
        match self {
            Self::Closed { .. } => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

impl Permit {
    /// The call came to a result.
    pub fn record(mut self, is_failure: bool) {
        self.is_recorded = true;
        self.breaker.record(self.generation, is_failure);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.is_recorded {
            self.breaker.give_back(self.generation);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({})", self.breaker.class)
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Breaker({}, {})", self.class, self.state().name())
    }
}

#[cfg(test)]
mod tests {
    use service_kit::clock::ManualClock;

    use super::*;

    fn breaker() -> (Breaker, ManualClock) {
        let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        (Breaker::new("checkout", BreakerPolicy::default(), clock.shared()), clock)
    }

    fn calls(breaker: &Breaker, count: usize, is_failure: bool) {
        for _ in 0..count {
            breaker.admit().unwrap().record(is_failure);
        }
    }

    #[test]
    fn a_few_failures_open_nothing() {
        let (breaker, _clock) = breaker();
        calls(&breaker, 19, true);
        assert_eq!(breaker.state(), BreakerState::Closed);
        calls(&breaker, 1, true);
        assert_eq!(breaker.state(), BreakerState::Open);
        let refused = breaker.admit().unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(10));
    }

    #[test]
    fn only_the_last_calls_count() {
        let (breaker, _clock) = breaker();
        calls(&breaker, 1_000, false);
        calls(&breaker, 29, true);
        assert_eq!(breaker.state(), BreakerState::Closed, "29 of 40 are less than 75 %");
        calls(&breaker, 1, true);
        assert_eq!(breaker.state(), BreakerState::Open, "30 of 40 are 75 %");
    }

    #[test]
    fn after_a_pause_ten_probes_decide() {
        let (breaker, clock) = breaker();
        calls(&breaker, 20, true);
        clock.advance(Duration::from_secs(10));

        let probes: Vec<_> = (0..10).map(|_| breaker.admit().unwrap()).collect();
        assert!(breaker.admit().is_err(), "an eleventh probe");
        for (number, probe) in probes.into_iter().enumerate() {
            probe.record(number < 7);
        }
        assert_eq!(breaker.state(), BreakerState::Closed, "7 of 10 are below the threshold");
    }

    #[test]
    fn failing_probes_open_it_again() {
        let (breaker, clock) = breaker();
        calls(&breaker, 20, true);
        clock.advance(Duration::from_secs(10));
        calls(&breaker, 8, true);
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    /// F18: on the wall clock it stayed open for an hour and ten seconds.
    #[test]
    fn a_clock_that_is_set_back_keeps_no_breaker_open() {
        let (breaker, clock) = breaker();
        calls(&breaker, 20, true);
        clock.set("2026-11-23T11:00:00Z".parse().unwrap());
        let left = breaker.open_for().unwrap();
        assert!(left <= Duration::from_secs(10), "{left:?}");
        clock.advance(Duration::from_secs(10));
        assert_eq!(breaker.open_for(), None);
        breaker.admit().unwrap().record(false);
    }

    #[test]
    fn a_cancelled_probe_gives_its_place_back_and_a_late_result_changes_nothing() {
        let (breaker, clock) = breaker();
        let late = breaker.admit().unwrap();
        calls(&breaker, 20, true);
        clock.advance(Duration::from_secs(10));
        for _ in 0..100 {
            drop(breaker.admit().unwrap());
        }
        late.record(false);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
    }
}

//! A fault that may last: logged once with a count, not once per attempt.
//!
//! During an outage a loop fails at every poll and an API at every request: one process wrote 1,130
//! equal warnings in a failover of 20 s. A [`Fault`] stands for one place that can fail and says
//! which of its failures deserve a line: the first, then at most one in [`REMINDER_PAUSE`].

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shortest time between two lines about the same lasting fault.
pub const REMINDER_PAUSE: Duration = Duration::from_mins(1);

/// One place that can fail repeatedly. Const, so that a function may keep one in a `static`.
#[derive(Debug, Default)]
pub struct Fault(Mutex<State>);

#[derive(Debug, Default, Clone, Copy)]
struct State {
    /// Failures since the last success.
    failures: u64,
    /// When a failure was last logged.
    logged_at: Option<Instant>,
}

impl Fault {
    /// Nothing has failed yet.
    pub const fn new() -> Self {
        Self(Mutex::new(State { failures: 0, logged_at: None }))
    }

    /// Counts a failure. `Some` with the number of failures so far when this one is to be logged.
    pub fn occurred(&self) -> Option<u64> {
        self.occurred_at(Instant::now())
    }

    fn occurred_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state();
        state.failures += 1;
        let is_due = state.logged_at.is_none_or(|at| REMINDER_PAUSE <= now.duration_since(at));
        if is_due {
            state.logged_at = Some(now);
        }
        is_due.then_some(state.failures)
    }

    /// Notes a success. `Some` with the number of failures when it is the first one after them.
    pub fn ended(&self) -> Option<u64> {
        let mut state = self.state();
        let failures = state.failures;
        *state = State::default();
        (0 < failures).then_some(failures)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code under the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasting_fault_is_logged_at_its_start_once_a_minute_and_at_its_end() {
        let fault = Fault::new();
        let start = Instant::now();
        // Twenty polls a second for 90 s.
        let lines: Vec<u64> = (0..1_800)
            .filter_map(|poll| fault.occurred_at(start + Duration::from_millis(50) * poll))
            .collect();
        assert_eq!(lines, [1, 1_201]);
        assert_eq!(fault.ended(), Some(1_800));
        assert_eq!(fault.ended(), None);
        assert_eq!(fault.occurred_at(start), Some(1));
    }
}

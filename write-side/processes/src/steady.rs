//! Time that never runs backwards, from a clock that may be set.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use service_kit::clock::SharedClock;

/// Time since its making. A clock that is set back makes it stand still for that instant: what
/// waits for a later time waits on for what was left, not until the old hour has come again.
pub(crate) struct SteadyTime {
    clock: SharedClock,
    seen: Mutex<Seen>,
}

struct Seen {
    at: DateTime<Utc>,
    elapsed: Duration,
}

impl SteadyTime {
    pub(crate) fn new(clock: SharedClock) -> Self {
        let seen = Seen { at: clock.now(), elapsed: Duration::ZERO };
        Self { clock, seen: Mutex::new(seen) }
    }

    /// How long ago it was made.
    pub(crate) fn elapsed(&self) -> Duration {
        // No code under the lock can panic half-way through a change.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        // Negative when the clock was set back.
        let step = now.signed_duration_since(seen.at).to_std().unwrap_or_default();
        seen.at = now;
        seen.elapsed = seen.elapsed.saturating_add(step);
        seen.elapsed
    }
}

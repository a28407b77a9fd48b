//! What payments and keys looked like a moment ago, for look-ups that lag behind.
//!
//! Keeps replaced states for as long as the settings need them and not longer, so that its size is
//! bounded by the changes of that time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::journal::Record;

/// Replaced states, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Past(VecDeque<(Instant, Record)>);

impl Past {
    /// Keeps a state that was replaced now.
    pub(crate) fn keep(&mut self, replaced: Record, memory: Duration) {
        self.0.push_back((Instant::now(), replaced));
        self.forget(memory);
    }

    /// Drops what is older than this.
    pub(crate) fn forget(&mut self, memory: Duration) {
        while self.0.front().is_some_and(|(replaced_at, _)| memory <= replaced_at.elapsed()) {
            self.0.pop_front();
        }
    }

    /// The state of a payment or key so long ago, unless it is still the same.
    pub(crate) fn state_of(&self, key: &str, ago: Duration) -> Option<&Record> {
        let was_current = |(replaced_at, record): &&(Instant, Record)| {
            record.key() == key && replaced_at.elapsed() < ago
        };
        self.0.iter().find(was_current).map(|(_, record)| record)
    }

    /// Whether a payment or key changed within this time.
    pub(crate) fn changed_within(&self, key: &str, time: Duration) -> bool {
        self.state_of(key, time).is_some()
    }
}

//! Recurring keys that an answer yielded and that are not stored yet.
//!
//! Such a key stands in memory and nowhere else. The task that has it tries to store it for as long as
//! the process lives, and a process that drains waits for these tasks longer than for others. Their
//! number is bounded by the rows under way.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

/// How many keys wait to be stored. Clones count together.
#[derive(Clone)]
pub struct Keys(Arc<watch::Sender<usize>>);

/// One key, until it is dropped.
pub(super) struct KeyHold(Keys);

impl Default for Keys {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Keys {
    /// Counts one more key until the value is dropped.
    pub(super) fn hold(&self) -> KeyHold {
        self.0.send_modify(|held| *held += 1);
        KeyHold(self.clone())
    }

    /// How many keys wait to be stored now.
    pub fn held(&self) -> usize {
        *self.0.borrow()
    }

    /// Ends once every key is stored.
    pub async fn all_stored(&self) {
        let mut held = self.0.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        drop(held.wait_for(|held| *held == 0).await);
    }
}

impl Drop for KeyHold {
    fn drop(&mut self) {
        self.0.0.send_modify(|held| *held = held.saturating_sub(1));
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} held)", self.held())
    }
}

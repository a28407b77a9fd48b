//! Recurring keys that an answer yielded and that are not stored yet.
//!
//! Such a key stands in memory and nowhere else. The task that has it tries to store it for as long as
//! the process lives, and a process that drains waits for these tasks longer than for others. Their
//! number is bounded by the rows under way. A row whose key is held is not settled under a later claim
//! of the same process: a look-up would find it paid and its key missing. Another process cannot see
//! what is held here; it waits before it takes an absent key for lost ([`Keys::absent_for`]).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::BillingKeyId;
use tokio::sync::watch;

use crate::metrics;

/// How long it is remembered since when a key is absent; the row may have gone to another worker.
const REMEMBERED_FOR: Duration = Duration::from_mins(10);

/// The keys that wait to be stored, and those that were looked for in vain. Clones share them.
#[derive(Clone)]
pub struct Keys {
    held: Arc<watch::Sender<Vec<BillingKeyId>>>,
    /// Since when each key is absent, by the monotonic clock.
    absent: Arc<Mutex<HashMap<BillingKeyId, Duration>>>,
}

/// One key, until it is dropped.
pub(super) struct KeyHold {
    keys: Keys,
    id: BillingKeyId,
}

impl Default for Keys {
    fn default() -> Self {
        Self { held: Arc::new(watch::Sender::new(Vec::new())), absent: Arc::default() }
    }
}

impl Keys {
    /// Holds the key `id` until the value is dropped.
    pub(super) fn hold(&self, id: BillingKeyId) -> KeyHold {
        self.held.send_modify(|held| {
            held.push(id);
            metrics::billing_keys_held(held.len());
        });
        KeyHold { keys: self.clone(), id }
    }

    /// Whether a task of this process still has the key `id` to store.
    pub(super) fn is_held(&self, id: BillingKeyId) -> bool {
        self.held.borrow().contains(&id)
    }

    /// How long this process has known that the key `id` is not stored, which it found again at `now`.
    /// Zero at the first time; what lies longer back than [`REMEMBERED_FOR`] is forgotten.
    pub(super) fn absent_for(&self, id: BillingKeyId, now: Duration) -> Duration {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        absent.retain(|_, since| now.saturating_sub(*since) < REMEMBERED_FOR);
        now.saturating_sub(*absent.entry(id).or_insert(now))
    }

    /// How many keys wait to be stored now.
    pub fn held(&self) -> usize {
        self.held.borrow().len()
    }

    /// Ends once every key is stored.
    pub async fn all_stored(&self) {
        let mut held = self.held.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        drop(held.wait_for(Vec::is_empty).await);
    }
}

impl Drop for KeyHold {
    fn drop(&mut self) {
        self.keys.held.send_modify(|held| {
            if let Some(index) = held.iter().position(|id| *id == self.id) {
                held.swap_remove(index);
            }
            metrics::billing_keys_held(held.len());
        });
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} held)", self.held())
    }
}

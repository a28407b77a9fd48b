//! Recurring keys that an answer yielded and that are not stored yet.
//!
//! Such a key stands in memory and nowhere else. The task that has it tries to store it for as long as
//! the process lives, and a process that drains waits for these tasks longer than for others. Their
//! number is bounded by the rows under way. A row whose key is held is not settled under a later claim
//! of the same process: a look-up would find it paid and its key missing.

use std::fmt;
use std::sync::Arc;

use contracts::BillingKeyId;
use tokio::sync::watch;

use crate::metrics;

/// The keys that wait to be stored. Clones share them.
#[derive(Clone)]
pub struct Keys(Arc<watch::Sender<Vec<BillingKeyId>>>);

/// One key, until it is dropped.
pub(super) struct KeyHold {
    keys: Keys,
    id: BillingKeyId,
}

impl Default for Keys {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Vec::new())))
    }
}

impl Keys {
    /// Holds the key `id` until the value is dropped.
    pub(super) fn hold(&self, id: BillingKeyId) -> KeyHold {
        self.0.send_modify(|held| {
            held.push(id);
            metrics::billing_keys_held(held.len());
        });
        KeyHold { keys: self.clone(), id }
    }

    /// Whether a task of this process still has the key `id` to store.
    pub(super) fn is_held(&self, id: BillingKeyId) -> bool {
        self.0.borrow().contains(&id)
    }

    /// How many keys wait to be stored now.
    pub fn held(&self) -> usize {
        self.0.borrow().len()
    }

    /// Ends once every key is stored.
    pub async fn all_stored(&self) {
        let mut held = self.0.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        drop(held.wait_for(Vec::is_empty).await);
    }
}

impl Drop for KeyHold {
    fn drop(&mut self) {
        self.keys.0.send_modify(|held| {
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

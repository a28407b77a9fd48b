//! Which claims somebody of this process has in hand.
//!
//! A lease is renewed for these and for no others. Without this, a row whose claim or whose return
//! was lost with the database would be renewed by a worker that has forgotten it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// The claims of one worker that are in hand; clones share them.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<Mutex<HashMap<Uuid, Uuid>>>);

/// A claim in hand, until it is dropped.
pub struct Hold {
    held: Held,
    id: Uuid,
    claim: Uuid,
}

impl Held {
    /// Registers `claim` on row `id` as held.
    pub(super) fn take(&self, id: Uuid, claim: Uuid) -> Hold {
        self.lock().insert(id, claim);
        Hold { held: self.clone(), id, claim }
    }

    /// Rows and claims that are held, side by side.
    pub(super) fn claims(&self) -> (Vec<Uuid>, Vec<Uuid>) {
        self.lock().iter().map(|(id, claim)| (*id, *claim)).unzip()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Uuid>> {
        // Every change is a single insert or remove, so a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut claims = self.held.lock();
        // We may have claimed the row once more before the older claim was let go of.
        if claims.get(&self.id) == Some(&self.claim) {
            claims.remove(&self.id);
        }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hold({}, claim {})", self.id, self.claim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_claim_takes_no_newer_one_along() {
        let held = Held::default();
        let [row, first, second] = [1, 2, 3].map(Uuid::from_u128);
        let older = held.take(row, first);
        let newer = held.take(row, second);
        drop(older);
        assert_eq!(held.claims(), (vec![row], vec![second]));
        drop(newer);
        assert_eq!(held.claims(), (vec![], vec![]));
    }
}

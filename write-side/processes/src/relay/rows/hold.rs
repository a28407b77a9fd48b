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
pub(super) struct Held(Arc<Mutex<HashMap<Uuid, i64>>>);

/// A claim in hand, until it is dropped.
pub struct Hold {
    held: Held,
    id: Uuid,
    fence: i64,
}

impl Held {
    /// Takes the claim on row `id` with `fence` in hand.
    pub(super) fn take(&self, id: Uuid, fence: i64) -> Hold {
        self.lock().insert(id, fence);
        Hold { held: self.clone(), id, fence }
    }

    /// Rows and fences of all claims in hand, side by side.
    pub(super) fn claims(&self) -> (Vec<Uuid>, Vec<i64>) {
        self.lock().iter().map(|(id, fence)| (*id, *fence)).unzip()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, i64>> {
        // Every change is a single insert or remove, so a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut claims = self.held.lock();
        // We may have claimed the row once more before the older claim was let go of.
        if claims.get(&self.id) == Some(&self.fence) {
            claims.remove(&self.id);
        }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hold({}, fence {})", self.id, self.fence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_claim_takes_no_newer_one_along() {
        let (held, row) = (Held::default(), Uuid::from_u128(1));
        let older = held.take(row, 1);
        let newer = held.take(row, 2);
        drop(older);
        assert_eq!(held.claims(), (vec![row], vec![2]));
        drop(newer);
        assert_eq!(held.claims(), (vec![], vec![]));
    }
}

//! How often in succession a row was put off because something of ours was unavailable (the database,
//! a user's key, a recurring key that another task still has to store).
//!
//! Such a put-off uses up no try, so the row doesn't count it, and without a count every pause is the
//! shortest: a claim and a line a second for as long as the fault lasts. It is counted in memory: a
//! worker that restarts, or another one that takes the row over, begins with the shortest pause.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use service_kit::fault::Fault;
use uuid::Uuid;

/// Rows counted at once; more than a relay has under way. One more, and all counts begin anew: rows
/// that another worker took over are never reported as going on.
const ROWS_MAX: usize = 10_000;

/// The rows of a relay that cannot go on. One fault for all: an outage stops them together.
#[derive(Debug, Default)]
pub struct Unavailable {
    put_off: Mutex<HashMap<Uuid, u32>>,
    fault: Fault,
}

/// A row was put off once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Repeated {
    /// How often in succession, from 1.
    pub(super) times: u32,
    /// The put-offs of all rows so far, when this one deserves a line.
    pub(super) logged: Option<u64>,
}

impl Unavailable {
    /// Counts a put-off of `row`.
    pub(super) fn occurred(&self, row: Uuid) -> Repeated {
        let mut put_off = self.put_off.lock().unwrap_or_else(PoisonError::into_inner);
        if ROWS_MAX <= put_off.len() && !put_off.contains_key(&row) {
            put_off.clear();
        }
        let times = put_off.entry(row).or_default();
        *times = times.saturating_add(1);
        Repeated { times: *times, logged: self.fault.occurred() }
    }

    /// `row` goes on. `Some` with the number of put-offs when it is the last one that had to wait.
    pub(super) fn ended(&self, row: Uuid) -> Option<u64> {
        let mut put_off = self.put_off.lock().unwrap_or_else(PoisonError::into_inner);
        put_off.remove(&row)?;
        if put_off.is_empty() { self.fault.ended() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn put_offs_are_counted_by_row_and_logged_once_for_all() {
        let unavailable = Unavailable::default();
        let [one, other] = [Uuid::now_v7(), Uuid::now_v7()];
        let first = Repeated { times: 1, logged: Some(1) };
        assert_eq!(unavailable.occurred(one), first);
        assert_eq!(unavailable.occurred(one), Repeated { times: 2, logged: None });
        assert_eq!(unavailable.occurred(other), Repeated { times: 1, logged: None });
        assert_eq!(unavailable.ended(one), None, "another one still waits");
        assert_eq!(unavailable.ended(one), None, "it did not wait");
        assert_eq!(unavailable.ended(other), Some(3));
        assert_eq!(unavailable.occurred(one), first, "begun anew");
    }

    #[test]
    fn the_rows_that_are_counted_are_bounded() {
        let unavailable = Unavailable::default();
        let kept = Uuid::now_v7();
        unavailable.occurred(kept);
        for _row in 0..ROWS_MAX {
            unavailable.occurred(Uuid::now_v7());
        }
        assert!(unavailable.put_off.lock().unwrap().len() <= ROWS_MAX);
        assert_eq!(unavailable.occurred(kept).times, 1, "begun anew");
    }
}

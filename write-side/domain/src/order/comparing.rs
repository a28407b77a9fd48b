//! What comparing a payment with the gateway's books finds.
//!
//! A difference is on record once, however often it is found, until a side says something else or
//! it is gone. Nothing follows from it: whoever reads the alarm decides, and no money moves.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contracts::Text;
use contracts::events::{DifferenceKind, OrderEvent};
use serde::{Deserialize, Serialize};

use super::Decision;
use super::state::{Attempt, PlacedOrder};

/// In what the books differ about one payment; each kind at most once.
pub type Differences = BTreeMap<DifferenceKind, Sides>;

/// The two sides of a difference: amounts in won, words or codes, nothing personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sides {
    /// What we have.
    pub ours: Text<200>,
    /// What the gateway says.
    pub theirs: Text<200>,
}

impl PlacedOrder {
    pub(super) fn record_differences(
        &self,
        number: u32,
        found: &Differences,
        at: DateTime<Utc>,
    ) -> Decision {
        let attempt = self.known_attempt(number)?;
        let new = found.iter().filter(|(kind, sides)| attempt.differences.get(kind) != Some(sides));
        let new = new.map(|(kind, Sides { ours, theirs })| OrderEvent::PaymentDifferenceFound {
            attempt: number,
            kind: *kind,
            ours: ours.clone(),
            theirs: theirs.clone(),
            found_at: at,
        });
        let gone = attempt.differences.keys().filter(|kind| !found.contains_key(kind));
        let gone = gone.map(|kind| settled(number, *kind, at));
        Ok(new.chain(gone).collect())
    }
}

impl Attempt {
    /// That it had no outcome is settled by its outcome; no comparison would find it again.
    pub(super) fn outcome_found(&self, at: DateTime<Utc>) -> Option<OrderEvent> {
        let kind = DifferenceKind::Unresolved;
        self.differences.contains_key(&kind).then(|| settled(self.number, kind, at))
    }
}

fn settled(attempt: u32, kind: DifferenceKind, at: DateTime<Utc>) -> OrderEvent {
    OrderEvent::PaymentDifferenceSettled { attempt, kind, settled_at: at }
}

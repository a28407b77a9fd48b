//! What was found to differ: an event of the order, and an alarm the first time.
//!
//! The order decides what is new. It is told at the version that was compared: one that has moved
//! since refuses, and is compared anew. The same difference found again is neither recorded nor
//! alarmed; that it is still open shows in `reconcile_differences_open`.

use contracts::events::{DifferenceKind, OrderEvent};
use contracts::{Actor, Metadata, OrderId, Text};
use domain::order::{Differences, Order, OrderCommand, PlacedOrder, Sides};
use event_store::{CommandContext, DispatchError, Loaded};
use serde::Serialize;
use uuid::Uuid;

use super::{Compared, ReconcileError, Reconciler, Verdict};
use crate::metrics;
use crate::relay::with_causes;

/// In what the two sides differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// In what.
    pub kind: DifferenceKind,
    /// What we have.
    pub ours: Text<200>,
    /// What they say.
    pub theirs: Text<200>,
}

impl Difference {
    /// What is too long for the log is cut; what is nothing is a dash.
    pub(super) fn new(kind: DifferenceKind, ours: &str, theirs: &str) -> Option<Self> {
        Some(Self { kind, ours: side(ours)?, theirs: side(theirs)? })
    }
}

fn side(told: &str) -> Option<Text<200>> {
    let shown = told.chars().map(|c| if c.is_control() { ' ' } else { c });
    let shown: String = shown.take(200).collect();
    Text::parse(&shown).or_else(|_nothing_left| Text::parse("-")).ok()
}

/// Whom the order hears it from.
pub(super) fn context() -> CommandContext<Order> {
    CommandContext::new(Metadata {
        actor: Actor::System("reconciliation".to_owned()),
        correlation_id: Uuid::now_v7().to_string(),
        causation_id: None,
        idempotency_key: None,
    })
}

impl Reconciler {
    /// Tells the order what a comparison found, or that it found nothing any more. `false`: the
    /// order has moved since it was loaded, and nothing was recorded.
    pub(super) async fn note(
        &self,
        loaded: &Loaded<Order>,
        order: &PlacedOrder,
        compared: &Compared,
    ) -> Result<bool, ReconcileError> {
        let attempt = order.attempt(compared.attempt);
        let is_clean = attempt.is_none_or(|attempt| attempt.differences.is_empty());
        match compared.verdict {
            // Says nothing, neither for nor against.
            Verdict::UnderWay | Verdict::Unanswered => Ok(true),
            // Nothing to record and nothing to settle, whatever happened meanwhile.
            Verdict::Same if is_clean => Ok(true),
            Verdict::Same | Verdict::Differs => {
                let found = compared.differences.clone();
                self.record(order.order_id, loaded.version, compared.attempt, found).await
            }
        }
    }

    /// Tells the order in what the books differ about an attempt, all of it, as long as it stands at
    /// `version`. `false`: it does not, and nothing was recorded.
    pub(super) async fn record(
        &self,
        order: OrderId,
        version: u64,
        attempt: u32,
        found: Vec<Difference>,
    ) -> Result<bool, ReconcileError> {
        let found: Differences = found
            .into_iter()
            .map(|Difference { kind, ours, theirs }| (kind, Sides { ours, theirs }))
            .collect();
        let command = OrderCommand::RecordDifferences { attempt, found, at: self.clock.now() };
        let context = context().at_version(version);
        match self.orders.dispatch(order.uuid(), command, context).await {
            Ok(recorded) => {
                recorded.events.iter().for_each(|event| tell(order, event));
                Ok(true)
            }
            Err(DispatchError::Stale { .. } | DispatchError::Conflict) => Ok(false),
            Err(DispatchError::Store(error)) => Err(error.into()),
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(order.id = %order, attempt, error, "the order took no comparison");
                Ok(true)
            }
        }
    }
}

/// The alarm, once an event.
fn tell(order: OrderId, event: &OrderEvent) {
    if let OrderEvent::PaymentDifferenceFound { attempt, kind, ours, theirs, .. } = event {
        metrics::reconcile_difference(kind.name());
        let (kind, ours, theirs) = (kind.name(), ours.as_str(), theirs.as_str());
        tracing::error!(order.id = %order, attempt, kind, ours, theirs, "the books differ");
    }
    if let OrderEvent::PaymentDifferenceSettled { attempt, kind, .. } = event {
        let kind = kind.name();
        tracing::info!(order.id = %order, attempt, kind, "the books agree again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_they_say_fits_into_the_log() {
        let long = "가".repeat(300);
        for (told, kept) in [
            ("5000", "5000"),
            ("", "-"),
            (" \u{0}\n", "-"),
            ("a\u{7}b", "a b"),
            (&long, &long[..600]),
        ] {
            let difference = Difference::new(DifferenceKind::Status, "PAID", told).unwrap();
            assert_eq!(difference.theirs.as_str(), kept);
        }
    }
}

//! One order that cannot be read, or that the database refuses, keeps no other order from the nets.

use contracts::OrderId;
use event_store::StoreError;

use super::ReconcileError;
use crate::metrics;
use crate::relay::with_causes;

/// What was at work on an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Net {
    /// The look-up of payments without an outcome.
    Pending,
    /// The look-up of attempts that ended without money.
    Ended,
    /// The look-up of refunds.
    Refunds,
    /// The comparison of approved payments.
    Comparison,
}

impl Net {
    const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ended => "ended",
            Self::Refunds => "refunds",
            Self::Comparison => "comparison",
        }
    }

    /// What came of one order; `None`, with an alarm, when it has to be passed over. The caller puts
    /// it off and goes on with the next one.
    ///
    /// # Errors
    /// The database is unavailable: the next order would end in the same way.
    pub(super) fn of_one<T>(
        self,
        order: OrderId,
        outcome: Result<T, ReconcileError>,
    ) -> Result<Option<T>, ReconcileError> {
        let error = match outcome {
            Ok(done) => return Ok(Some(done)),
            Err(error) => error,
        };
        let Some(reason) = of_this_order_alone(&error) else {
            return Err(error);
        };
        self.passed_over(order, reason, &with_causes(&error));
        Ok(None)
    }

    /// Work on one order ended early, which only a bug causes.
    pub(super) fn panicked(self, order: OrderId, error: &tokio::task::JoinError) {
        self.passed_over(order, "panicked", &error.to_string());
    }

    fn passed_over(self, order: OrderId, reason: &'static str, error: &str) {
        let net = self.name();
        metrics::reconcile_passed_over(net, reason);
        tracing::error!(order.id = %order, net, reason, error, "an order was passed over and put off");
    }
}

/// Why it concerns this order and no other: its events cannot be read by this build (a newer release
/// wrote one, or one is damaged), or the database refuses this statement.
fn of_this_order_alone(error: &ReconcileError) -> Option<&'static str> {
    let ReconcileError::Orders(error) = error else { return None };
    match error {
        StoreError::Decode(_) | StoreError::Corrupt { .. } => Some("undecodable"),
        StoreError::Database(_) | StoreError::Settings => Some("refused"),
        StoreError::Unavailable(_) | StoreError::OutcomeUnknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unavailable_database_ends_the_batch() {
        let order = OrderId::new(uuid::Uuid::nil());
        let cause = || std::io::Error::other("down").into();
        let corrupt = StoreError::Corrupt { stream: "order/1".to_owned(), what: "a gap" };
        for passed_over in [corrupt, StoreError::Database(cause())] {
            let outcome: Result<(), _> = Err(ReconcileError::Orders(passed_over));
            assert!(matches!(Net::Ended.of_one(order, outcome), Ok(None)));
        }
        for down in [
            ReconcileError::Orders(StoreError::Unavailable(cause())),
            ReconcileError::Orders(StoreError::OutcomeUnknown),
            ReconcileError::Database(cause()),
        ] {
            let outcome: Result<(), _> = Err(down);
            assert!(Net::Ended.of_one(order, outcome).is_err());
        }
        assert!(matches!(Net::Ended.of_one(order, Ok(1)), Ok(Some(1))));
    }
}

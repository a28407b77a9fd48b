//! In what the gateway's books differ from ours: a small table folded from the log, so that operators
//! find what is open without reading every order.

use contracts::events::OrderEvent;
use contracts::{DecodeError, EventBody, RecordedEvent};
use deadpool_postgres::Transaction;

use super::ReactionError;
use super::table::TableFold;

/// Folds the log into `payment_difference`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PaymentDifferences;

impl TableFold for PaymentDifferences {
    const NAME: &'static str = "payment_differences";
    const EVENT_TYPES: &'static [&'static str] =
        &["PaymentDifferenceFound", "PaymentDifferenceSettled"];

    async fn fold_in_tx(
        tx: &Transaction<'_>,
        event: &RecordedEvent,
    ) -> Result<Result<(), DecodeError>, ReactionError> {
        if event.aggregate_type != OrderEvent::AGGREGATE_TYPE {
            return Ok(Ok(()));
        }
        let decoded = match event.decode::<OrderEvent>() {
            Ok(decoded) => decoded,
            Err(error) => return Ok(Err(error)),
        };
        let order = &event.aggregate_id;
        // Attempts are counted from 1 within an order; none has that many.
        let number = |attempt: u32| i32::try_from(attempt).unwrap_or(i32::MAX);
        if let OrderEvent::PaymentDifferenceFound { attempt, kind, ours, theirs, found_at } =
            &decoded
        {
            let (attempt, kind) = (number(*attempt), kind.name());
            let (ours, theirs) = (ours.as_str(), theirs.as_str());
            let found = tx.prepare_cached(include_str!("sql/difference_found.sql")).await?;
            tx.execute(&found, &[order, &attempt, &kind, &ours, &theirs, found_at]).await?;
        }
        if let OrderEvent::PaymentDifferenceSettled { attempt, kind, settled_at } = &decoded {
            let (attempt, kind) = (number(*attempt), kind.name());
            let settled = tx.prepare_cached(include_str!("sql/difference_settled.sql")).await?;
            tx.execute(&settled, &[order, &attempt, &kind, settled_at]).await?;
        }
        Ok(Ok(()))
    }
}

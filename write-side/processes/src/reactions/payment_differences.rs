//! In what the gateway's books differ from ours: a small table folded from the log, so that operators
//! find what is open without reading every order.

use contracts::events::OrderEvent;
use contracts::{DecodeError, EventBody, RecordedEvent};
use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::ReactionError;
use super::table::TableFold;

/// Folds the log into `payment_difference`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PaymentDifferences;

impl TableFold for PaymentDifferences {
    const NAME: &'static str = "payment_differences";
    const EVENT_TYPES: &'static [&'static str] =
        &["PaymentDifferenceFound", "PaymentDifferenceSettled"];

    /// By order, in the order of the log. Differences are rare: each is written by itself.
    type Changes = Vec<(Uuid, OrderEvent)>;

    fn fold(changes: &mut Self::Changes, event: &RecordedEvent) -> Result<(), DecodeError> {
        if event.aggregate_type == OrderEvent::AGGREGATE_TYPE {
            changes.push((event.aggregate_id, event.decode()?));
        }
        Ok(())
    }

    async fn write_in_tx(
        tx: &Transaction<'_>,
        changes: Self::Changes,
    ) -> Result<(), ReactionError> {
        for (order, event) in &changes {
            write_one_in_tx(tx, order, event).await?;
        }
        Ok(())
    }
}

async fn write_one_in_tx(
    tx: &Transaction<'_>,
    order: &Uuid,
    event: &OrderEvent,
) -> Result<(), ReactionError> {
    // Attempts are counted from 1 within an order; none has that many.
    let number = |attempt: u32| i32::try_from(attempt).unwrap_or(i32::MAX);
    if let OrderEvent::PaymentDifferenceFound { attempt, kind, ours, theirs, found_at } = event {
        let (attempt, kind) = (number(*attempt), kind.name());
        let (ours, theirs) = (ours.as_str(), theirs.as_str());
        let found = tx.prepare_cached(include_str!("sql/difference_found.sql")).await?;
        tx.execute(&found, &[order, &attempt, &kind, &ours, &theirs, found_at]).await?;
    }
    if let OrderEvent::PaymentDifferenceSettled { attempt, kind, settled_at } = event {
        let (attempt, kind) = (number(*attempt), kind.name());
        let settled = tx.prepare_cached(include_str!("sql/difference_settled.sql")).await?;
        tx.execute(&settled, &[order, &attempt, &kind, settled_at]).await?;
    }
    Ok(())
}

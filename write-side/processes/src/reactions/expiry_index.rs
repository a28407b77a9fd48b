//! Which unpaid orders there are and when each expires: a small table folded from the log, so that
//! the schedule finds due orders without asking a read model. The order itself decides whether it
//! expires.

use contracts::events::OrderEvent;
use contracts::{DecodeError, EventBody, RecordedEvent};
use deadpool_postgres::Transaction;

use super::ReactionError;
use super::table::TableFold;

/// Folds the log into `order_expiry`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExpiryIndex;

impl TableFold for ExpiryIndex {
    const NAME: &'static str = "expiry_index";
    const EVENT_TYPES: &'static [&'static str] =
        &["OrderPlaced", "PaymentApproved", "OrderExpired", "OrderCancelled"];

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
        if let OrderEvent::Placed { expires_at, .. } = decoded {
            let remember = tx.prepare_cached(include_str!("sql/remember_expiry.sql")).await?;
            tx.execute(&remember, &[order, &expires_at]).await?;
        } else {
            let forget = tx.prepare_cached(include_str!("sql/forget_expiry.sql")).await?;
            tx.execute(&forget, &[order]).await?;
        }
        Ok(Ok(()))
    }
}

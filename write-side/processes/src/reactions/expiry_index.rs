//! Which unpaid orders there are and when each expires: a small table folded from the log, so that
//! the schedule finds due orders without asking a read model. The order itself decides whether it
//! expires.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contracts::events::OrderEvent;
use contracts::{DecodeError, EventBody, RecordedEvent};
use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::ReactionError;
use super::table::TableFold;

/// Folds the log into `order_expiry`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExpiryIndex;

impl TableFold for ExpiryIndex {
    const NAME: &'static str = "expiry_index";
    const EVENT_TYPES: &'static [&'static str] =
        &["OrderPlaced", "PaymentApproved", "OrderExpired", "OrderCancelled"];

    /// When each order expires; `None`: nothing of it is left to expire.
    type Changes = BTreeMap<Uuid, Option<DateTime<Utc>>>;

    fn fold(changes: &mut Self::Changes, event: &RecordedEvent) -> Result<(), DecodeError> {
        if event.aggregate_type != OrderEvent::AGGREGATE_TYPE {
            return Ok(());
        }
        let decoded = event.decode::<OrderEvent>()?;
        let expires_at = if let OrderEvent::Placed { expires_at, .. } = decoded {
            Some(expires_at)
        } else {
            None
        };
        changes.insert(event.aggregate_id, expires_at);
        Ok(())
    }

    async fn write_in_tx(
        tx: &Transaction<'_>,
        changes: Self::Changes,
    ) -> Result<(), ReactionError> {
        let over: Vec<Uuid> =
            changes.iter().filter(|(_, at)| at.is_none()).map(|(order, _)| *order).collect();
        let (orders, instants): (Vec<Uuid>, Vec<DateTime<Utc>>) =
            changes.into_iter().filter_map(|(order, at)| Some((order, at?))).unzip();
        if !orders.is_empty() {
            let remember = tx.prepare_cached(include_str!("sql/remember_expiry.sql")).await?;
            tx.execute(&remember, &[&orders, &instants]).await?;
        }
        if !over.is_empty() {
            let forget = tx.prepare_cached(include_str!("sql/forget_expiry.sql")).await?;
            tx.execute(&forget, &[&over]).await?;
        }
        Ok(())
    }
}

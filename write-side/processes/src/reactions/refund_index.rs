//! Which refunds are pending and which the gateway refused: a small table folded from the log, so
//! that reconciliation looks them up and operators see what the shop owes.
//!
//! A refund leaves the table when it succeeds; a refused one also when a refund that was requested
//! later for the same payment took its place, which is one for one: two refused refunds and one that
//! succeeded leave one that is owed. A refused automatic refund is alarmed here:
//! the shop keeps money for an order that it does not deliver, and no shopper asks again.

use chrono::{DateTime, Utc};
use contracts::events::OrderEvent;
use contracts::{DecodeError, EventBody, OrderId, RecordedEvent, RefundId, Text};
use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::ReactionError;
use super::table::TableFold;
use crate::metrics;
use crate::reconcile::LOOK_UP_AFTER;
use crate::reconcile::due::{following_night, refund_due_on};

/// Folds the log into `refund_index`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RefundIndex;

impl TableFold for RefundIndex {
    const NAME: &'static str = "refund_index";
    const EVENT_TYPES: &'static [&'static str] =
        &["RefundRequested", "RefundSucceeded", "RefundFailed"];

    /// In the order of the log. Refunds are rare: each event is written by itself.
    type Changes = Vec<Change>;

    fn fold(changes: &mut Self::Changes, event: &RecordedEvent) -> Result<(), DecodeError> {
        if event.aggregate_type == OrderEvent::AGGREGATE_TYPE {
            let order = OrderId::new(event.aggregate_id);
            let position = event.position.number();
            changes.push(Change { order, position, event: event.decode()? });
        }
        Ok(())
    }

    async fn write_in_tx(
        tx: &Transaction<'_>,
        changes: Self::Changes,
    ) -> Result<(), ReactionError> {
        for change in &changes {
            change.write_in_tx(tx).await?;
        }
        Ok(())
    }
}

/// An event of a refund.
#[derive(Debug)]
pub struct Change {
    order: OrderId,
    position: i64,
    event: OrderEvent,
}

impl Change {
    async fn write_in_tx(&self, tx: &Transaction<'_>) -> Result<(), ReactionError> {
        let Self { order, position, event } = self;
        if let OrderEvent::RefundRequested { refund_id, attempt, amount, requested_at, .. } = event
        {
            let is_automatic = *refund_id == RefundId::automatic(*order, *attempt);
            // Attempts are counted from 1 within an order; none has that many.
            let attempt = i32::try_from(*attempt).unwrap_or(i32::MAX);
            let (next, due_on) = (*requested_at + LOOK_UP_AFTER, refund_due_on(*requested_at));
            let statement = tx.prepare_cached(include_str!("sql/refund_requested.sql")).await?;
            let (refund, order, amount) = (refund_id.uuid(), order.uuid(), amount.amount());
            tx.execute(
                &statement,
                &[
                    &refund,
                    &order,
                    &attempt,
                    &amount,
                    &is_automatic,
                    requested_at,
                    &due_on,
                    &next,
                    position,
                ],
            )
            .await?;
        }
        if let OrderEvent::RefundFailed { refund_id, code, failed_at, .. } = event {
            self.refused_in_tx(tx, refund_id.uuid(), code, *failed_at).await?;
        }
        if let OrderEvent::RefundSucceeded { refund_id, .. } = event {
            let statement = tx.prepare_cached(include_str!("sql/refund_succeeded.sql")).await?;
            tx.execute(&statement, &[&refund_id.uuid()]).await?;
        }
        Ok(())
    }

    async fn refused_in_tx(
        &self,
        tx: &Transaction<'_>,
        refund: Uuid,
        code: &Text<100>,
        failed_at: DateTime<Utc>,
    ) -> Result<(), ReactionError> {
        let (code, next) = (code.as_str(), following_night(failed_at));
        let statement = tx.prepare_cached(include_str!("sql/refund_refused.sql")).await?;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&refund, &code, &failed_at, &next, &self.position];
        let Some(row) = tx.query_opt(&statement, &values).await? else {
            return Ok(());
        };
        metrics::refund_refused(row.try_get("is_automatic")?);
        if row.try_get("is_automatic")? {
            let order = self.order;
            tracing::error!(order.id = %order, refund.id = %refund, code, "an automatic refund was refused");
        }
        Ok(())
    }
}

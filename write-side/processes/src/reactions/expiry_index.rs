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
        &["OrderPlaced", "PaymentReady", "PaymentApproved", "OrderExpired", "OrderCancelled"];

    /// What becomes of each order's row.
    type Changes = BTreeMap<Uuid, Change>;

    fn fold(changes: &mut Self::Changes, event: &RecordedEvent) -> Result<(), DecodeError> {
        if event.aggregate_type != OrderEvent::AGGREGATE_TYPE {
            return Ok(());
        }
        let order = event.aggregate_id;
        match (event.decode::<OrderEvent>()?, changes.get(&order)) {
            (OrderEvent::Placed { expires_at, .. }, _) => {
                changes.insert(order, Change::Placed(expires_at));
            }
            // An open page keeps its order open.
            (OrderEvent::PaymentReady { expires_at, .. }, Some(Change::Placed(known))) => {
                changes.insert(order, Change::Placed(expires_at.max(*known)));
            }
            (OrderEvent::PaymentReady { expires_at, .. }, Some(Change::Kept(known))) => {
                changes.insert(order, Change::Kept(expires_at.max(*known)));
            }
            (OrderEvent::PaymentReady { expires_at, .. }, None) => {
                changes.insert(order, Change::Kept(expires_at));
            }
            (OrderEvent::PaymentReady { .. }, Some(Change::Over)) => {}
            (_ended, _) => {
                changes.insert(order, Change::Over);
            }
        }
        Ok(())
    }

    async fn write_in_tx(
        tx: &Transaction<'_>,
        changes: Self::Changes,
    ) -> Result<(), ReactionError> {
        let (mut placed, mut kept, mut over) = (Columns::default(), Columns::default(), Vec::new());
        for (order, change) in changes {
            match change {
                Change::Placed(at) => placed.push(order, at),
                Change::Kept(at) => kept.push(order, at),
                Change::Over => over.push(order),
            }
        }
        if !placed.orders.is_empty() {
            let remember = tx.prepare_cached(include_str!("sql/remember_expiry.sql")).await?;
            tx.execute(&remember, &[&placed.orders, &placed.instants]).await?;
        }
        if !kept.orders.is_empty() {
            let keep = tx.prepare_cached(include_str!("sql/keep_from_expiry.sql")).await?;
            tx.execute(&keep, &[&kept.orders, &kept.instants]).await?;
        }
        if !over.is_empty() {
            let forget = tx.prepare_cached(include_str!("sql/forget_expiry.sql")).await?;
            tx.execute(&forget, &[&over]).await?;
        }
        Ok(())
    }
}

/// What a batch changes about one order.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// It was placed, and expires then.
    Placed(DateTime<Utc>),
    /// It was placed before, and does not expire before then.
    Kept(DateTime<Utc>),
    /// Nothing of it is left to expire.
    Over,
}

/// Rows of the table, column by column.
#[derive(Default)]
struct Columns {
    orders: Vec<Uuid>,
    instants: Vec<DateTime<Utc>>,
}

impl Columns {
    fn push(&mut self, order: Uuid, at: DateTime<Utc>) {
        self.orders.push(order);
        self.instants.push(at);
    }
}

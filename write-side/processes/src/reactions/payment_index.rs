//! Which payments moved money or may have: a small table folded from the log, so that
//! reconciliation finds them without asking a read model. Amounts are the order's own to tell.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contracts::events::{GatewayStep, OrderEvent};
use contracts::{DecodeError, EventBody, RecordedEvent};
use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::ReactionError;
use super::table::TableFold;
use crate::reconcile::LOOK_UP_AFTER;

/// Folds the log into `payment_index`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PaymentIndex;

impl TableFold for PaymentIndex {
    const NAME: &'static str = "payment_index";
    const EVENT_TYPES: &'static [&'static str] = &[
        "PaymentApprovalRequested",
        "PaymentUnresolved",
        "PaymentApproved",
        "PaymentDeclined",
        "PaymentAbandoned",
        "PaymentTokenRefused",
    ];

    /// How each payment stands, by order and attempt; `None`: no money moved.
    type Changes = BTreeMap<(Uuid, i32), Option<Row>>;

    fn fold(changes: &mut Self::Changes, event: &RecordedEvent) -> Result<(), DecodeError> {
        if event.aggregate_type != OrderEvent::AGGREGATE_TYPE {
            return Ok(());
        }
        if let Some((attempt, row)) = change(&event.decode::<OrderEvent>()?) {
            // Attempts are counted from 1 within an order; none has that many.
            let key = (event.aggregate_id, i32::try_from(attempt).unwrap_or(i32::MAX));
            // Approved is the end: nothing makes it doubtful again.
            if !matches!(changes.get(&key), Some(Some((APPROVED, _)))) {
                changes.insert(key, row);
            }
        }
        Ok(())
    }

    async fn write_in_tx(
        tx: &Transaction<'_>,
        changes: Self::Changes,
    ) -> Result<(), ReactionError> {
        let mut kept = Columns::default();
        let mut gone = (Vec::new(), Vec::new());
        for ((order, attempt), row) in changes {
            let Some((state, since)) = row else {
                gone.0.push(order);
                gone.1.push(attempt);
                continue;
            };
            kept.orders.push(order);
            kept.attempts.push(attempt);
            kept.states.push(state);
            kept.since.push(since);
            kept.next.push(since + LOOK_UP_AFTER);
        }
        if !kept.orders.is_empty() {
            let Columns { orders, attempts, states, since, next } = &kept;
            let remember = tx.prepare_cached(include_str!("sql/remember_payment.sql")).await?;
            tx.execute(&remember, &[orders, attempts, states, since, next]).await?;
        }
        if !gone.0.is_empty() {
            let forget = tx.prepare_cached(include_str!("sql/forget_payment.sql")).await?;
            tx.execute(&forget, &[&gone.0, &gone.1]).await?;
        }
        Ok(())
    }
}

/// The state of a payment whose money moved.
const APPROVED: &str = "approved";

/// Rows of the table, column by column.
#[derive(Default)]
struct Columns {
    orders: Vec<Uuid>,
    attempts: Vec<i32>,
    states: Vec<&'static str>,
    since: Vec<DateTime<Utc>>,
    next: Vec<DateTime<Utc>>,
}

/// How a payment stands, and since when.
type Row = (&'static str, DateTime<Utc>);

/// What an event changes: the attempt, and how it stands since when, or that no money moved.
fn change(event: &OrderEvent) -> Option<(u32, Option<Row>)> {
    match event {
        OrderEvent::PaymentApprovalRequested { attempt, requested_at, .. } => {
            Some((*attempt, Some(("approving", *requested_at))))
        }
        OrderEvent::PaymentUnresolved {
            attempt,
            step: GatewayStep::Approve,
            unresolved_at,
            ..
        } => Some((*attempt, Some(("unresolved", *unresolved_at)))),
        OrderEvent::PaymentApproved { attempt, approved_at, .. } => {
            Some((*attempt, Some((APPROVED, *approved_at))))
        }
        OrderEvent::PaymentDeclined { attempt, .. }
        | OrderEvent::PaymentAbandoned { attempt, .. }
        // Another return may bring another token; until then nothing is asked for.
        | OrderEvent::PaymentTokenRefused { attempt, .. } => Some((*attempt, None)),
        // A refund whose outcome nobody knows leaves the payment approved.
        OrderEvent::PaymentUnresolved { .. }
        | OrderEvent::Placed { .. }
        | OrderEvent::PaymentRequested { .. }
        | OrderEvent::PaymentReady { .. }
        | OrderEvent::PaymentReturned { .. }
        | OrderEvent::Expired { .. }
        | OrderEvent::Cancelled { .. }
        | OrderEvent::RefundRequested { .. }
        | OrderEvent::RefundSucceeded { .. }
        | OrderEvent::RefundFailed { .. }
        | OrderEvent::PaymentDifferenceFound { .. }
        | OrderEvent::PaymentDifferenceSettled { .. }
        | OrderEvent::ReceiverChanged { .. } => None,
    }
}

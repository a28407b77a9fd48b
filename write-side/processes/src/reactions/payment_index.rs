//! Which payments moved money or may have: a small table folded from the log, so that
//! reconciliation finds them without asking a read model. Amounts are the order's own to tell.

use chrono::{DateTime, Utc};
use contracts::events::{GatewayStep, OrderEvent};
use contracts::{DecodeError, EventBody, RecordedEvent};
use deadpool_postgres::Transaction;

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
    ];

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
        let Some((attempt, row)) = change(&decoded) else {
            return Ok(Ok(()));
        };
        // Attempts are counted from 1 within an order; none has that many.
        let attempt = i32::try_from(attempt).unwrap_or(i32::MAX);
        if let Some((state, since)) = row {
            let next = since + LOOK_UP_AFTER;
            let remember = tx.prepare_cached(include_str!("sql/remember_payment.sql")).await?;
            tx.execute(&remember, &[&event.aggregate_id, &attempt, &state, &since, &next]).await?;
        } else {
            let forget = tx.prepare_cached(include_str!("sql/forget_payment.sql")).await?;
            tx.execute(&forget, &[&event.aggregate_id, &attempt]).await?;
        }
        Ok(Ok(()))
    }
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
            Some((*attempt, Some(("approved", *approved_at))))
        }
        OrderEvent::PaymentDeclined { attempt, .. }
        | OrderEvent::PaymentAbandoned { attempt, .. } => Some((*attempt, None)),
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

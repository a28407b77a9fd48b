//! Pieces sold, out of an order's payments and refunds.
//!
//! An attempt's pieces count when it is approved and no longer once all of its money went back. A
//! payment that arrives too late is approved and then refunded in full, so it cancels itself out.

use contracts::events::{OrderEvent, OrderLine};
use contracts::{RefundId, Won};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::projection::Refusal;

/// What of an order moves sales.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct OrderSales {
    lines: Vec<(Uuid, i64)>,
    charges: Vec<Charge>,
    refunds: Vec<(RefundId, u32)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Charge {
    attempt: u32,
    paid: Won,
    refunded: Won,
}

impl OrderSales {
    /// Folds one event and says by how many pieces the sales of which items change.
    ///
    /// # Errors
    /// History that makes no sense: money for an order without lines, a refund of nothing.
    pub(super) fn fold(&mut self, event: &OrderEvent) -> Result<Vec<(Uuid, i64)>, Refusal> {
        match event {
            OrderEvent::Placed { lines, .. } => {
                self.lines = lines.iter().map(pieces).collect();
                Ok(Vec::new())
            }
            OrderEvent::PaymentApproved { attempt, amount, .. } => {
                self.approve(*attempt, amount.total)
            }
            OrderEvent::RefundRequested { refund_id, attempt, .. } => {
                self.refunds.push((*refund_id, *attempt));
                Ok(Vec::new())
            }
            OrderEvent::RefundSucceeded { refund_id, amount, .. } => {
                self.refund(*refund_id, *amount)
            }
            OrderEvent::PaymentRequested { .. }
            | OrderEvent::PaymentReady { .. }
            | OrderEvent::PaymentReturned { .. }
            | OrderEvent::PaymentApprovalRequested { .. }
            | OrderEvent::PaymentDeclined { .. }
            | OrderEvent::PaymentUnresolved { .. }
            | OrderEvent::PaymentTokenRefused { .. }
            | OrderEvent::PaymentAbandoned { .. }
            | OrderEvent::Expired { .. }
            | OrderEvent::Cancelled { .. }
            | OrderEvent::RefundFailed { .. }
            | OrderEvent::PaymentDifferenceFound { .. }
            | OrderEvent::PaymentDifferenceSettled { .. }
            | OrderEvent::ReceiverChanged { .. } => Ok(Vec::new()),
        }
    }

    fn approve(&mut self, attempt: u32, paid: Won) -> Result<Vec<(Uuid, i64)>, Refusal> {
        if self.lines.is_empty() {
            return Err(Refusal::new("a payment for an order that was never placed"));
        }
        if self.charges.iter().any(|charge| charge.attempt == attempt) {
            return Err(Refusal::new("the attempt was approved before"));
        }
        self.charges.push(Charge { attempt, paid, refunded: Won::ZERO });
        Ok(self.lines.clone())
    }

    fn refund(&mut self, refund_id: RefundId, amount: Won) -> Result<Vec<(Uuid, i64)>, Refusal> {
        let attempt = self.refunds.iter().find(|(id, _)| *id == refund_id).map(|(_, it)| *it);
        let charge = self.charges.iter_mut().find(|charge| Some(charge.attempt) == attempt);
        let Some(charge) = charge else {
            return Err(Refusal::new("a refund of a payment that was never approved"));
        };
        let was_whole = charge.paid <= charge.refunded;
        charge.refunded = charge
            .refunded
            .checked_add(amount)
            .ok_or_else(|| Refusal::new("the refunds are more than can be counted"))?;
        if was_whole || charge.refunded < charge.paid {
            return Ok(Vec::new());
        }
        Ok(self.lines.iter().map(|(item_id, pieces)| (*item_id, -pieces)).collect())
    }
}

fn pieces(line: &OrderLine) -> (Uuid, i64) {
    (line.item_id.uuid(), i64::from(line.quantity.count()))
}

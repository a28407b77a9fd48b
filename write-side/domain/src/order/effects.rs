//! What the events of an order ask of the gateway.

use contracts::BillingKeyId;
use contracts::events::OrderEvent;

use super::state::{Attempt, PlacedOrder};
use crate::effects::{ApproveEffect, CancelEffect, Effect, PaymentTerms, ReadyEffect};

impl PlacedOrder {
    /// The call that `event` asks for; `self` is the order after it.
    pub(super) fn effect(&self, event: &OrderEvent) -> Option<Effect> {
        match event {
            OrderEvent::PaymentRequested { attempt, item_name, quantity, .. } => {
                Some(Effect::PaymentReady(ReadyEffect {
                    terms: self.terms(self.attempt(*attempt)?),
                    item_name: item_name.clone(),
                    quantity: *quantity,
                }))
            }
            OrderEvent::PaymentApprovalRequested { attempt, tid, pg_token, .. } => {
                Some(Effect::PaymentApprove(ApproveEffect {
                    terms: self.terms(self.attempt(*attempt)?),
                    tid: tid.clone(),
                    pg_token: pg_token.clone(),
                }))
            }
            OrderEvent::RefundRequested {
                refund_id,
                attempt,
                tid,
                amount,
                tax_free,
                refundable_before,
                ..
            } => Some(Effect::PaymentCancel(CancelEffect {
                terms: self.terms(self.attempt(*attempt)?),
                refund_id: *refund_id,
                tid: tid.clone(),
                amount: *amount,
                tax_free: *tax_free,
                refundable_before: *refundable_before,
            })),
            OrderEvent::Placed { .. }
            | OrderEvent::PaymentReady { .. }
            | OrderEvent::PaymentReturned { .. }
            | OrderEvent::PaymentApproved { .. }
            | OrderEvent::PaymentDeclined { .. }
            | OrderEvent::PaymentUnresolved { .. }
            | OrderEvent::PaymentTokenRefused { .. }
            | OrderEvent::PaymentAbandoned { .. }
            | OrderEvent::Expired { .. }
            | OrderEvent::Cancelled { .. }
            | OrderEvent::RefundSucceeded { .. }
            | OrderEvent::RefundFailed { .. }
            | OrderEvent::PaymentDifferenceFound { .. }
            | OrderEvent::PaymentDifferenceSettled { .. }
            | OrderEvent::ReceiverChanged { .. } => None,
        }
    }

    /// How `attempt` is known to the gateway and what it is worth: the same in every call about it.
    pub fn terms(&self, attempt: &Attempt) -> PaymentTerms {
        PaymentTerms {
            user_id: self.user_id,
            attempt: attempt.number,
            partner_order_id: attempt.partner_order_id.clone(),
            amount: attempt.amount,
            tax_free: attempt.tax_free,
            vat: attempt.vat,
            billing_key: attempt.recurring.then(|| BillingKeyId::of(self.order_id)),
            merchant: attempt.page.as_ref().and_then(|page| page.cid.clone()),
        }
    }
}

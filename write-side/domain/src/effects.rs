//! What an event asks of the outside world. The event store writes one outbox row an effect, in
//! the event's own transaction; the relay carries it out and reports back by a command.
//!
//! An effect holds all that its call needs, except secrets, which it holds sealed. The stream it
//! belongs to stands in the outbox row.

use contracts::{BillingKeyId, RefundId, Sealed, Text, UserId, Won};
use serde::{Deserialize, Serialize};

/// One call to be made. The names are stored in outbox rows: they change like events do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "mail and keys will stand beside payments")]
pub enum Effect {
    /// Ask the gateway for a payment page.
    PaymentReady(ReadyEffect),
    /// Ask the gateway to move the money.
    PaymentApprove(ApproveEffect),
    /// Ask the gateway to give money back.
    PaymentCancel(CancelEffect),
}

/// How an attempt is known to the gateway and what it is worth: the same in every call about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentTerms {
    /// Whose payment; the gateway sees a pseudonym derived from it.
    pub user_id: UserId,
    /// Number of the attempt within its order, from 1.
    pub attempt: u32,
    /// Our name for the attempt at the gateway.
    pub partner_order_id: Text<100>,
    /// The whole amount in won.
    pub amount: Won,
    /// The tax-free part of it.
    pub tax_free: Won,
    /// The value-added tax in it.
    pub vat: Won,
    /// The recurring key that the approval is to yield; present for subscription orders.
    pub billing_key: Option<BillingKeyId>,
    /// The merchant code the payment was opened with; absent before that and for payments that are
    /// older than the field: then the configured code counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant: Option<Text<64>>,
}

/// What opening a payment page needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyEffect {
    /// The attempt.
    pub terms: PaymentTerms,
    /// What the gateway shows as bought.
    pub item_name: Text<100>,
    /// Pieces in all.
    pub quantity: u32,
}

/// What moving the money needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApproveEffect {
    /// The attempt.
    pub terms: PaymentTerms,
    /// The gateway's id of the payment.
    pub tid: Text<64>,
    /// The one-time token of the return, under the user's key.
    pub pg_token: Sealed<String>,
}

/// What giving money back needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelEffect {
    /// The attempt whose payment is given back.
    pub terms: PaymentTerms,
    /// Which refund.
    pub refund_id: RefundId,
    /// The gateway's id of the payment.
    pub tid: Text<64>,
    /// How much to give back.
    pub amount: Won,
    /// The tax-free part of it.
    pub tax_free: Won,
    /// What can still be given back, this refund included: the gateway's guard.
    pub refundable_before: Won,
}

impl Effect {
    /// The stored name of the sort of call; also the metric label.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::PaymentReady(_) => "payment_ready",
            Self::PaymentApprove(_) => "payment_approve",
            Self::PaymentCancel(_) => "payment_cancel",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Rows of the outbox that the release before wrote are carried out by this one, and that
    /// release carries out this one's: it passes over a field that it does not know.
    #[test]
    fn an_effect_of_before_the_merchant_code_reads_and_is_written_as_before() {
        let stored = json!({ "payment_cancel": {
            "terms": {
                "user_id": "0199a6f0-0000-7000-8000-000000000001",
                "attempt": 1,
                "partner_order_id": "order-1",
                "amount": 27_000,
                "tax_free": 0,
                "vat": 2_454,
                "billing_key": null,
            },
            "refund_id": "0199a6f0-0000-7000-8000-000000000002",
            "tid": "T1",
            "amount": 5_000,
            "tax_free": 0,
            "refundable_before": 27_000,
        } });
        let effect: Effect = serde_json::from_value(stored.clone()).unwrap();
        let Effect::PaymentCancel(cancel) = &effect else { panic!("{effect:?}") };
        assert_eq!(cancel.terms.merchant, None);
        assert_eq!(serde_json::to_value(&effect).unwrap(), stored);
    }
}

//! What finally came of an effect: stored in the outbox row before the aggregate is told, so that a
//! crash in between repeats the telling and not the call.

use chrono::{DateTime, Utc};
use contracts::events::{ApprovedAmount, DeclineClass, PaymentMethod, RedirectUrls};
use contracts::{BillingKeyId, Text, Won};
use serde::{Deserialize, Serialize};

/// The end of an effect. Stored: changes like an event does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "settled", rename_all = "snake_case")]
pub enum Settlement {
    /// The payment page is open.
    Opened {
        /// The gateway's id of the payment.
        tid: Text<64>,
        /// Where the browser goes.
        redirect: RedirectUrls,
        /// When it was opened.
        ready_at: DateTime<Utc>,
        /// When it stops working.
        expires_at: DateTime<Utc>,
        /// The merchant code it was opened with; absent in rows that are older than the field.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cid: Option<Text<64>>,
    },
    /// The money moved, exactly as asked.
    Approved {
        /// The gateway's id of the payment.
        tid: Text<64>,
        /// The gateway's id of the approval.
        aid: Text<64>,
        /// What was booked.
        amount: ApprovedAmount,
        /// What it was paid with.
        method: PaymentMethod,
        /// When.
        approved_at: DateTime<Utc>,
        /// The recurring key it yielded; the key itself lies in `billing_keys`, or is missing there.
        billing_key: Option<BillingKeyId>,
    },
    /// The money went back.
    GivenBack {
        /// The gateway's id of the action.
        aid: Option<Text<64>>,
        /// How much.
        amount: Won,
        /// When.
        refunded_at: DateTime<Utc>,
    },
    /// A definite no.
    Declined {
        /// What sort of no.
        class: DeclineClass,
        /// The gateway's code.
        code: Text<100>,
        /// When.
        at: DateTime<Utc>,
    },
    /// The gateway refused the token of the return; no call before had an unknown outcome.
    TokenRefused {
        /// The gateway's code.
        code: Text<100>,
        /// When.
        at: DateTime<Utc>,
    },
    /// Nothing was ever sent, and it is too late to.
    NotSent {
        /// When that was settled.
        at: DateTime<Utc>,
    },
    /// Nobody knows, and asking has not helped: an operator must find out.
    Unresolved {
        /// What happened, from a closed set of codes.
        reason: Text<100>,
        /// When it was given up.
        at: DateTime<Utc>,
    },
}

impl Settlement {
    /// The name of the settlement: stored, and a metric label.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "opened",
            Self::Approved { .. } => "approved",
            Self::GivenBack { .. } => "given_back",
            Self::Declined { .. } => "declined",
            Self::TokenRefused { .. } => "token_refused",
            Self::NotSent { .. } => "not_sent",
            Self::Unresolved { .. } => "unresolved",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_outcome_of_before_the_merchant_code_reads_and_is_written_as_before() {
        let url = "https://pay.example/1";
        let stored = json!({
            "settled": "opened",
            "tid": "T1",
            "redirect": { "pc": url, "mobile": url, "app": url },
            "ready_at": "2026-11-23T03:01:01Z",
            "expires_at": "2026-11-23T03:16:01Z",
        });
        let settlement: Settlement = serde_json::from_value(stored.clone()).unwrap();
        assert!(matches!(settlement, Settlement::Opened { cid: None, .. }), "{settlement:?}");
        assert_eq!(serde_json::to_value(&settlement).unwrap(), stored);
    }
}

//! Where an order stands, in the words of the API: derived from its course and its money, never
//! stored.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::state::{Attempt, Course, PlacedOrder, Stage};

/// Where an order stands, in the words of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OrderStatus {
    /// Nobody is paying; somebody may.
    Placed,
    /// A payment attempt is open.
    AwaitingPayment,
    /// Exactly its amount was approved.
    Paid,
    /// The latest attempt was declined; another may be made.
    Declined,
    /// Nobody paid in time.
    Expired,
    /// Called off before it was paid.
    Cancelled,
    /// Part of the money went back.
    PartlyRefunded,
    /// All of the money went back.
    Refunded,
    /// Nobody knows whether money moved; being looked up.
    Unresolved,
}

impl OrderStatus {
    /// The stored and spoken name: `PLACED`, `AWAITING_PAYMENT`, …
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "PLACED",
            Self::AwaitingPayment => "AWAITING_PAYMENT",
            Self::Paid => "PAID",
            Self::Declined => "DECLINED",
            Self::Expired => "EXPIRED",
            Self::Cancelled => "CANCELLED",
            Self::PartlyRefunded => "PARTLY_REFUNDED",
            Self::Refunded => "REFUNDED",
            Self::Unresolved => "UNRESOLVED",
        }
    }
}

impl PlacedOrder {
    /// Where it stands. Money first: an order with an approval is paid or refunded, even if it
    /// expired before the approval was heard of (its refund is then under way by itself).
    pub fn status(&self) -> OrderStatus {
        if let Some(paid) = self.payment() {
            return self.refund_status(paid);
        }
        let latest = self.latest_attempt().map(|attempt| &attempt.stage);
        if self.unresolved_attempt().is_some() {
            return OrderStatus::Unresolved;
        }
        match (self.course, latest) {
            (Course::Expired, _) => OrderStatus::Expired,
            (Course::Cancelled, _) => OrderStatus::Cancelled,
            (Course::Open, Some(Stage::Declined { .. })) => OrderStatus::Declined,
            (Course::Open, Some(stage)) if stage.is_open() => OrderStatus::AwaitingPayment,
            (Course::Open, Some(_) | None) => OrderStatus::Placed,
        }
    }

    /// Where it stands at `at`: an order that was not paid in time has expired from that moment on,
    /// also before that is recorded.
    pub fn status_at(&self, at: DateTime<Utc>) -> OrderStatus {
        let status = self.status();
        let may_expire = matches!(
            status,
            OrderStatus::Placed | OrderStatus::AwaitingPayment | OrderStatus::Declined
        );
        if may_expire && self.has_expired(at) { OrderStatus::Expired } else { status }
    }

    fn refund_status(&self, paid: &Attempt) -> OrderStatus {
        let refunded = self.refunded_of(paid);
        if refunded.is_zero() {
            return OrderStatus::Paid;
        }
        if refunded < paid.paid() {
            return OrderStatus::PartlyRefunded;
        }
        OrderStatus::Refunded
    }
}

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
    /// Exactly its amount was approved while it waited for it.
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
    /// Where it stands. Money first: an order that was paid in time is paid or refunded, whatever
    /// follows. A payment that came too late changes nothing: it buys nothing, and its refund is under
    /// way by itself or owed.
    pub fn status(&self) -> OrderStatus {
        if let Some(paid) = self.paid_in_time() {
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
            (Course::Open, Some(Stage::Approved(_))) if self.was_latest_declined() => {
                OrderStatus::Declined
            }
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

    fn was_latest_declined(&self) -> bool {
        self.latest_attempt().is_some_and(|attempt| attempt.was_declined)
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

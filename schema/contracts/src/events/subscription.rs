//! What happens to a subscription. Charging and changing one come with the billing run.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::event_body;
use crate::{BillingKeyId, ItemId, OrderId, Period, Quantity, Receiver, Text, UserId, Won};

use crate::personal::Sealed;

/// Who or what ended a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionCancelledBy {
    /// Its opening order was called off by the owner; what becomes of the refund changes nothing.
    OrderCalledOff,
    /// All money of its opening order was refunded in another way.
    OrderRefunded,
    /// Its owner.
    User,
    /// An administrator.
    Admin,
    /// The system.
    System,
}

impl SubscriptionCancelledBy {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::OrderCalledOff, Self::OrderRefunded, Self::User, Self::Admin, Self::System];
}

/// Facts about one subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubscriptionEvent {
    /// A line of a paid subscription order became a subscription; its first delivery is paid.
    #[serde(rename = "SubscriptionOpened")]
    Opened {
        /// Whose.
        user_id: UserId,
        /// The order whose payment opened it.
        order_id: OrderId,
        /// Which line of that order, from 1.
        line_no: u16,
        /// What is delivered.
        item_id: ItemId,
        /// Its name on the day of the order.
        item_name: Text<300>,
        /// How many each time.
        quantity: Quantity,
        /// The price of one piece; kept until the user consents to another.
        unit_price: Won,
        /// Days between deliveries.
        period: Period,
        /// To whom.
        receiver: Sealed<Receiver>,
        /// The recurring key that charges it; the key itself lies sealed outside the log.
        billing_key: BillingKeyId,
        /// The Korean date of the payment; cycle 0.
        paid_on: NaiveDate,
        /// When cycle 1 falls due: the paid date plus the period.
        next_due_on: NaiveDate,
        /// When it was opened, by the process's clock.
        opened_at: DateTime<Utc>,
        /// Whether the approval that paid for it came without the recurring key, because its answer
        /// was lost.
        #[serde(default, skip_serializing_if = "is_false")]
        key_missing: bool,
    },
    /// It ended: nothing more is charged or delivered.
    #[serde(rename = "SubscriptionCancelled")]
    Cancelled {
        /// Who or what ended it.
        by: SubscriptionCancelledBy,
        /// Why, from a closed set of codes; never free text of a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Text<100>>,
        /// When, by the process's clock.
        cancelled_at: DateTime<Utc>,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

event_body!(SubscriptionEvent, "subscription", {
    Opened => "SubscriptionOpened" v 1,
    Cancelled => "SubscriptionCancelled" v 1,
});

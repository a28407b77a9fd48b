//! What happens to a subscription. Charging, changing and ending one come with the billing run.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::event_body;
use crate::{BillingKeyId, ItemId, OrderId, Period, Quantity, Receiver, Text, UserId, Won};

use crate::personal::Sealed;

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
    },
}

event_body!(SubscriptionEvent, "subscription", {
    Opened => "SubscriptionOpened" v 1,
});

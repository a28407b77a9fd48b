//! What follows from an order beyond its own money: a delivery, and the end of its subscriptions.
//!
//! Only refunds that succeeded count against a delivery: one that is pending may be refused, and
//! then the order is paid as before. Calling an order off is its owner's word about the future and
//! counts at once, whatever becomes of the refund. Both only ever turn from no to yes or back once,
//! so that a reaction may read the order as it stands at any later time.

use contracts::events::{CancelledBy, OrderKind, SubscriptionCancelledBy};

use super::state::{Course, PlacedOrder};

impl PlacedOrder {
    /// Whether it is paid and to be delivered: exactly its amount was approved while the order was
    /// open, and not all of it went back.
    pub fn is_to_be_delivered(&self) -> bool {
        self.paid_in_time().is_some_and(|paid| self.refunded_of(paid) < paid.paid())
    }

    /// Whether its owner called it off after it was paid: cancelled it, or asked for a refund that
    /// left nothing to be refunded.
    pub fn is_called_off(&self) -> bool {
        self.paid_in_time().is_some_and(|paid| {
            let leaves_nothing = self.refunds.iter().any(|refund| {
                refund.attempt == paid.number
                    && refund.by == CancelledBy::User
                    && refund.leaves_nothing
            });
            leaves_nothing || self.course == Course::Cancelled
        })
    }

    /// Why the subscriptions that it opened end; `None` while they go on, or when it opened none.
    pub fn subscriptions_end(&self) -> Option<SubscriptionCancelledBy> {
        if self.kind != OrderKind::Subscription {
            return None;
        }
        let paid = self.paid_in_time()?;
        if self.is_called_off() {
            return Some(SubscriptionCancelledBy::OrderCalledOff);
        }
        (paid.paid() <= self.refunded_of(paid)).then_some(SubscriptionCancelledBy::OrderRefunded)
    }

    /// Whether its subscriptions still wait for a refund that another asked for, so that the owner's
    /// word to end them must be put on record by itself.
    pub(super) fn waits_for_owner(&self) -> bool {
        let is_paid = self.kind == OrderKind::Subscription && self.paid_in_time().is_some();
        is_paid && self.subscriptions_end().is_none()
    }
}

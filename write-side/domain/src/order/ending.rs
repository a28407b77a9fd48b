//! Ending an order without a payment, ending one with it, and sending it elsewhere.

use chrono::{DateTime, Utc};
use contracts::events::{AbandonReason, CancelledBy, OrderEvent};
use contracts::{Receiver, RefundId, Sealed, Text};

use super::paying::abandoned;
use super::refunding::RefundWanted;
use super::state::{Attempt, Course, PlacedOrder, Stage};
use super::status::OrderStatus;
use super::{Decision, OrderRefusal};
use crate::kernel::Principal;

impl PlacedOrder {
    pub(super) fn expire(&self, at: DateTime<Utc>) -> Vec<OrderEvent> {
        // While the gateway may be moving money the order stays: expiring it would only refund it.
        if self.course != Course::Open || !self.has_expired(at) {
            return Vec::new();
        }
        let mut events = self.abandon_open_attempt(AbandonReason::Expired, at);
        events.push(OrderEvent::Expired { expired_at: at });
        events
    }

    pub(super) fn cancel(
        &self,
        by: Principal,
        refund_id: RefundId,
        reason: Option<&Text<200>>,
        at: DateTime<Utc>,
    ) -> Decision {
        let cancelled_by = self.check_may_end(by)?;
        let give_back = |payment: &Attempt| {
            let (amount, attempt) = (self.refundable_of(payment), Some(payment.number));
            let wanted = RefundWanted { refund_id, amount, attempt };
            self.request_refund(by, wanted, reason.cloned(), at)
        };
        let has_rest = |payment: &&Attempt| !self.refundable_of(payment).is_zero();
        let called_off = || OrderEvent::Cancelled {
            by: cancelled_by,
            reason: reason.cloned(),
            cancelled_at: at,
        };
        if let Some(paid) = self.paid_in_time() {
            if has_rest(&paid) {
                return give_back(paid);
            }
            // All of it went back or is on its way: cancelled is what the order is already, unless
            // its subscriptions end with the owner's word alone.
            let is_word_needed = cancelled_by == CancelledBy::User && self.waits_for_owner();
            return Ok(is_word_needed.then(called_off).into_iter().collect());
        }
        // Nothing that came too late is left, unless its automatic refund was refused.
        let late = self.attempts.iter().find(has_rest).map(give_back).transpose()?;
        let late = late.unwrap_or_default();
        match self.course {
            Course::Cancelled => return Ok(late),
            Course::Expired | Course::Open if self.has_expired(at) => {
                return if late.is_empty() { Err(OrderRefusal::Expired) } else { Ok(late) };
            }
            Course::Expired | Course::Open => {}
        }
        self.money_may_be_moving()?;
        let mut events = self.abandon_open_attempt(AbandonReason::OrderCancelled, at);
        events.push(called_off());
        events.extend(late);
        Ok(events)
    }

    pub(super) fn change_receiver(&self, by: Principal, receiver: Sealed<Receiver>) -> Decision {
        self.check_may_end(by)?;
        match self.status() {
            OrderStatus::Expired => return Err(OrderRefusal::Expired),
            OrderStatus::Cancelled => return Err(OrderRefusal::Cancelled),
            OrderStatus::Refunded => return Err(OrderRefusal::Refunded),
            OrderStatus::Placed
            | OrderStatus::AwaitingPayment
            | OrderStatus::Paid
            | OrderStatus::Declined
            | OrderStatus::PartlyRefunded
            | OrderStatus::Unresolved => {}
        }
        if self.receiver == receiver {
            return Ok(Vec::new());
        }
        Ok(vec![OrderEvent::ReceiverChanged { receiver }])
    }

    /// Whether it is over at `at` because it was not paid in time, also before that is recorded.
    /// While the gateway may be moving money it is not.
    pub fn has_expired(&self, at: DateTime<Utc>) -> bool {
        let is_due = self.course == Course::Open && self.expires_at <= at;
        let is_unpaid = self.paid_in_time().is_none();
        let is_overdue = is_due && is_unpaid && self.money_may_be_moving().is_ok();
        self.course == Course::Expired || is_overdue
    }

    /// Refuses while the gateway is being asked to move the money, or may have moved it.
    fn money_may_be_moving(&self) -> Result<(), OrderRefusal> {
        match self.open_attempt().map(|attempt| &attempt.stage) {
            Some(Stage::ApprovalRequested { .. }) => Err(OrderRefusal::PaymentUnderWay),
            Some(Stage::Unresolved { .. }) => Err(OrderRefusal::PaymentUnresolved),
            Some(
                Stage::Requested
                | Stage::Ready
                | Stage::Approved(_)
                | Stage::Declined { .. }
                | Stage::Abandoned { .. },
            )
            | None => Ok(()),
        }
    }

    fn abandon_open_attempt(&self, reason: AbandonReason, at: DateTime<Utc>) -> Vec<OrderEvent> {
        let abandon = |number| abandoned(number, reason, at);
        self.open_attempt().map(|attempt| abandon(attempt.number)).into_iter().collect()
    }
}

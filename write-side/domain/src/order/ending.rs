//! Ending an order without a payment, ending one with it, and sending it elsewhere.

use chrono::{DateTime, Utc};
use contracts::events::{AbandonReason, CancelledBy, OrderEvent};
use contracts::{Receiver, RefundId, Sealed, Text};

use super::paying::abandoned;
use super::refunding::RefundWanted;
use super::state::{Course, PlacedOrder, Stage};
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
        reason: Option<Text<200>>,
        at: DateTime<Utc>,
    ) -> Decision {
        let cancelled_by = self.check_may_end(by)?;
        if let Some(paid) = self.payment() {
            let left = self.refundable_of(paid);
            if !left.is_zero() {
                let wanted = RefundWanted { refund_id, amount: left, attempt: Some(paid.number) };
                return self.request_refund(by, wanted, reason, at);
            }
            // All of it went back or is on its way: cancelled is what the order is already, unless
            // its subscriptions end with the owner's word alone. One whose payment came too late may
            // have another attempt open.
            if self.paid_in_time().is_some() || self.open_attempt().is_none() {
                let is_word_needed = cancelled_by == CancelledBy::User && self.waits_for_owner();
                let called_off =
                    OrderEvent::Cancelled { by: cancelled_by, reason, cancelled_at: at };
                return Ok(is_word_needed.then_some(called_off).into_iter().collect());
            }
        }
        match self.course {
            Course::Cancelled => return Ok(Vec::new()),
            Course::Expired => return Err(OrderRefusal::Expired),
            Course::Open if self.has_expired(at) => return Err(OrderRefusal::Expired),
            Course::Open => {}
        }
        self.money_may_be_moving()?;
        let mut events = self.abandon_open_attempt(AbandonReason::OrderCancelled, at);
        events.push(OrderEvent::Cancelled { by: cancelled_by, reason, cancelled_at: at });
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

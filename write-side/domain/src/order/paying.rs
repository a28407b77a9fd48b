//! What the gateway answers about a payment attempt.
//!
//! The rule for late and repeated answers: an answer to a question that is no longer open changes
//! nothing. The one exception is an approval, because money moved: it is recorded wherever the
//! attempt stands, and given back when it can no longer pay the order.

use chrono::{DateTime, Utc};
use contracts::events::{AbandonReason, CancelledBy, DeclineClass, GatewayStep, OrderEvent};
use contracts::{BillingKeyId, RefundId, Text};

use super::state::{Attempt, Course, PaymentPage, PlacedOrder, Stage};
use super::{Decision, OrderRefusal, RecordApproval};

/// The reason of a [`OrderEvent::PaymentUnresolved`] whose answer differs from what was asked:
/// money may have moved, so the order is neither paid nor free to be paid again.
pub const MISMATCH: &str = "mismatch";

impl PlacedOrder {
    pub(super) fn known_attempt(&self, number: u32) -> Result<&Attempt, OrderRefusal> {
        self.attempt(number).ok_or(OrderRefusal::NoSuchAttempt)
    }

    pub(super) fn record_ready(&self, number: u32, page: PaymentPage) -> Decision {
        let attempt = self.known_attempt(number)?;
        match attempt.stage {
            // A page that comes after the order's end brings nothing back: it has been shown as expired.
            Stage::Requested if self.has_expired(page.ready_at) => Ok(self.expire(page.ready_at)),
            Stage::Requested => Ok(vec![OrderEvent::PaymentReady {
                attempt: number,
                tid: page.tid,
                redirect: page.redirect,
                ready_at: page.ready_at,
                expires_at: page.expires_at,
                cid: page.cid,
            }]),
            // Told twice, or the attempt ended meanwhile: a page nobody was sent to moves no money.
            Stage::Ready
            | Stage::ApprovalRequested { .. }
            | Stage::Unresolved { .. }
            | Stage::Approved(_)
            | Stage::Declined { .. }
            | Stage::Abandoned { .. } => Ok(Vec::new()),
        }
    }

    pub(super) fn record_approval(&self, told: RecordApproval) -> Decision {
        let attempt = self.known_attempt(told.attempt)?;
        if let Some(known) = attempt.stage.approval() {
            // The gateway may tell us twice; the second telling changes nothing.
            if known.tid == told.tid {
                return Ok(Vec::new());
            }
            return Err(OrderRefusal::ApprovedOtherwise);
        }
        let Some(page) = &attempt.page else {
            return Err(OrderRefusal::PaymentNotReady);
        };
        if !self.is_what_was_asked(attempt, page, &told) {
            return Ok(unresolved(attempt, Text::parse(MISMATCH).ok(), told.at));
        }
        let refund = (!self.can_be_paid_by(attempt)).then(|| self.automatic_refund(attempt, &told));
        let approved = OrderEvent::PaymentApproved {
            attempt: told.attempt,
            tid: told.tid,
            aid: told.aid,
            amount: told.amount,
            method: told.method,
            approved_at: told.approved_at,
            billing_key: told.billing_key,
        };
        let outcome = attempt.outcome_found(told.at);
        Ok([Some(approved), refund, outcome].into_iter().flatten().collect())
    }

    /// The same payment, the same amounts, and a key only where and as one was to be yielded. A
    /// recurring approval without a key is what a look-up tells: it holds no key.
    fn is_what_was_asked(
        &self,
        attempt: &Attempt,
        page: &PaymentPage,
        told: &RecordApproval,
    ) -> bool {
        let key_asked = attempt.recurring.then(|| BillingKeyId::of(self.order_id));
        page.tid == told.tid
            && attempt.amount == told.amount.total
            && attempt.tax_free == told.amount.tax_free
            && attempt.vat == told.amount.vat
            && (told.billing_key.is_none() || told.billing_key == key_asked)
    }

    /// Whether somebody waits for this attempt's money: the order is open, unpaid, and the attempt
    /// was not given up. A declined or abandoned one was: the shopper has been told to pay again.
    fn can_be_paid_by(&self, attempt: &Attempt) -> bool {
        self.course == Course::Open && self.paid_in_time().is_none() && attempt.stage.is_open()
    }

    fn automatic_refund(&self, attempt: &Attempt, told: &RecordApproval) -> OrderEvent {
        OrderEvent::RefundRequested {
            refund_id: RefundId::automatic(self.order_id, attempt.number),
            attempt: attempt.number,
            tid: told.tid.clone(),
            amount: told.amount.total,
            tax_free: told.amount.tax_free,
            refundable_before: told.amount.total,
            by: CancelledBy::System,
            reason: None,
            requested_at: told.at,
        }
    }

    pub(super) fn record_decline(
        &self,
        number: u32,
        step: GatewayStep,
        class: DeclineClass,
        code: Text<100>,
        at: DateTime<Utc>,
    ) -> Decision {
        let attempt = self.known_attempt(number)?;
        if !is_asked(attempt, step)? {
            return Ok(Vec::new());
        }
        let declined =
            OrderEvent::PaymentDeclined { attempt: number, step, class, code, declined_at: at };
        Ok([Some(declined), attempt.outcome_found(at)].into_iter().flatten().collect())
    }

    pub(super) fn record_unresolved(
        &self,
        number: u32,
        step: GatewayStep,
        reason: Text<100>,
        at: DateTime<Utc>,
    ) -> Decision {
        let attempt = self.known_attempt(number)?;
        match step {
            // A page that may have been opened is out of reach for the shopper and moves no money.
            GatewayStep::Ready => self.record_not_sent(number, step, at),
            GatewayStep::Approve => match &attempt.stage {
                Stage::ApprovalRequested { .. } | Stage::Unresolved { .. } => {
                    Ok(unresolved(attempt, Some(reason), at))
                }
                Stage::Requested
                | Stage::Ready
                | Stage::Approved(_)
                | Stage::Declined { .. }
                | Stage::Abandoned { .. } => Ok(Vec::new()),
            },
            // Refunds are carried out one after another: the oldest pending one is meant.
            GatewayStep::Cancel => match self.refunds.iter().find(|it| it.is_pending_of(number)) {
                Some(refund) => Ok(refund.unresolved(reason, at)),
                None => Ok(Vec::new()),
            },
        }
    }

    pub(super) fn record_not_sent(
        &self,
        number: u32,
        step: GatewayStep,
        at: DateTime<Utc>,
    ) -> Decision {
        let attempt = self.known_attempt(number)?;
        // What is unresolved was sent: only an answer settles it.
        if !is_asked(attempt, step)? || matches!(attempt.stage, Stage::Unresolved { .. }) {
            return Ok(Vec::new());
        }
        let abandoned = abandoned(number, AbandonReason::NotSent, at);
        Ok([Some(abandoned), attempt.outcome_found(at)].into_iter().flatten().collect())
    }
}

/// Whether the attempt waits for the answer to this call.
fn is_asked(attempt: &Attempt, step: GatewayStep) -> Result<bool, OrderRefusal> {
    match step {
        GatewayStep::Ready => Ok(attempt.stage == Stage::Requested),
        GatewayStep::Approve => {
            Ok(matches!(attempt.stage, Stage::ApprovalRequested { .. } | Stage::Unresolved { .. }))
        }
        GatewayStep::Cancel => Err(OrderRefusal::WrongStep),
    }
}

pub(super) fn abandoned(attempt: u32, reason: AbandonReason, at: DateTime<Utc>) -> OrderEvent {
    OrderEvent::PaymentAbandoned { attempt, reason, abandoned_at: at }
}

/// The attempt's outcome is unknown for this reason; nothing when that is on record, and never
/// anything weaker over a mismatch.
fn unresolved(attempt: &Attempt, reason: Option<Text<100>>, at: DateTime<Utc>) -> Vec<OrderEvent> {
    let Some(reason) = reason else { return Vec::new() };
    if let Stage::Unresolved { reason: known, .. } = &attempt.stage
        && (*known == reason || known.as_str() == MISMATCH)
    {
        return Vec::new();
    }
    vec![OrderEvent::PaymentUnresolved {
        attempt: attempt.number,
        step: GatewayStep::Approve,
        reason,
        unresolved_at: at,
        refund_id: None,
    }]
}

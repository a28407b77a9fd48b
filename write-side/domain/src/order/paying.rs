//! What the gateway and the shopper's browser tell about a payment attempt.
//!
//! The rule for late and repeated answers: an answer to a question that is no longer open changes
//! nothing. The one exception is an approval, because money moved: it is recorded wherever the
//! attempt stands, and given back when it can no longer pay the order.

use chrono::{DateTime, Utc};
use contracts::events::{
    AbandonReason, CancelledBy, DeclineClass, GatewayStep, OrderEvent, ReturnedAs,
};
use contracts::{BillingKeyId, RefundId, Sealed, Text, Won};

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

    pub(super) fn record_return(
        &self,
        number: u32,
        returned_as: ReturnedAs,
        at: DateTime<Utc>,
    ) -> Decision {
        let attempt = self.known_attempt(number)?;
        // A reloaded page, a prefetch, the back button: the first return counts.
        if attempt.returned {
            return Ok(Vec::new());
        }
        let Some(page) = &attempt.page else {
            return Err(OrderRefusal::PaymentNotReady);
        };
        let next = match (&attempt.stage, self.course) {
            (Stage::Ready, Course::Open) => Some(self.after_return(number, page, &returned_as, at)),
            // The attempt is over: that somebody came back is a fact, but nothing follows from it.
            (_, Course::Open | Course::Expired | Course::Cancelled) => None,
        };
        let returned =
            OrderEvent::PaymentReturned { attempt: number, returned_as, returned_at: at };
        Ok([Some(returned), next].into_iter().flatten().collect())
    }

    fn after_return(
        &self,
        attempt: u32,
        page: &PaymentPage,
        returned_as: &ReturnedAs,
        at: DateTime<Utc>,
    ) -> OrderEvent {
        match returned_as {
            // An earlier attempt may have taken the money after all: not before that is known.
            ReturnedAs::Authenticated { .. } if self.unresolved_attempt().is_some() => {
                abandoned(attempt, AbandonReason::FailedOnPage, at)
            }
            ReturnedAs::Authenticated { pg_token } => {
                approval_requested(attempt, page, pg_token, at)
            }
            ReturnedAs::Cancelled => abandoned(attempt, AbandonReason::CancelledByShopper, at),
            ReturnedAs::Failed => abandoned(attempt, AbandonReason::FailedOnPage, at),
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
        self.course == Course::Open && self.payment().is_none() && attempt.stage.is_open()
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
            GatewayStep::Cancel => Ok(self.refund_unresolved(attempt, reason, at)),
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

fn approval_requested(
    attempt: u32,
    page: &PaymentPage,
    pg_token: &Sealed<String>,
    at: DateTime<Utc>,
) -> OrderEvent {
    OrderEvent::PaymentApprovalRequested {
        attempt,
        tid: page.tid.clone(),
        pg_token: pg_token.clone(),
        requested_at: at,
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
    }]
}

impl PlacedOrder {
    /// A refund's outcome is unknown: on record once, and its sum stays taken.
    pub(super) fn refund_unresolved(
        &self,
        attempt: &Attempt,
        reason: Text<100>,
        at: DateTime<Utc>,
    ) -> Vec<OrderEvent> {
        let nothing_is_pending = self.pending_of(attempt) == Won::ZERO;
        if nothing_is_pending || attempt.refund_unresolved {
            return Vec::new();
        }
        vec![OrderEvent::PaymentUnresolved {
            attempt: attempt.number,
            step: GatewayStep::Cancel,
            reason,
            unresolved_at: at,
        }]
    }
}

//! Giving money back. The sum of all refunds that went through or are pending never exceeds what
//! was paid; only a failed one frees its sum.

use chrono::{DateTime, Utc};
use contracts::events::{DeclineClass, GatewayStep, OrderEvent};
use contracts::{RefundId, Text, Won};

use super::paying::MISMATCH;
use super::state::{Attempt, PlacedOrder, Refund, RefundStage};
use super::{Decision, OrderRefusal};
use crate::kernel::Principal;

/// What is asked back.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefundWanted {
    pub(super) refund_id: RefundId,
    pub(super) amount: Won,
    /// The attempt whose payment it is, where that is named.
    pub(super) attempt: Option<u32>,
}

impl PlacedOrder {
    pub(super) fn request_refund(
        &self,
        by: Principal,
        wanted: RefundWanted,
        reason: Option<Text<200>>,
        at: DateTime<Utc>,
    ) -> Decision {
        let asked_by = self.check_may_end(by)?;
        let RefundWanted { refund_id, amount, attempt } = wanted;
        if let Some(known) = self.refund(refund_id) {
            // One id is one refund, whatever became of it; two equal ones have two ids.
            if known.amount == amount && attempt.is_none_or(|number| number == known.attempt) {
                return Ok(Vec::new());
            }
            return Err(OrderRefusal::RefundIdReused);
        }
        if amount.is_zero() {
            return Err(OrderRefusal::EmptyRefund);
        }
        let attempt = match attempt {
            Some(number) => self.known_attempt(number)?,
            None => self.payment_meant(by)?,
        };
        let approval = attempt.stage.approval().ok_or(OrderRefusal::NotPaid)?;
        let refundable = self.refundable_of(attempt);
        if refundable < amount {
            return Err(OrderRefusal::RefundTooLarge { refundable });
        }
        Ok(vec![OrderEvent::RefundRequested {
            refund_id,
            attempt: attempt.number,
            tid: approval.tid.clone(),
            amount,
            tax_free: self.tax_free_of(attempt, amount, refundable),
            refundable_before: refundable,
            by: asked_by,
            reason,
            requested_at: at,
        }])
    }

    /// The payment that a refund without an attempt is about: the one that paid the order, and when
    /// nothing is left of that, one that came too late and whose automatic refund was refused.
    ///
    /// The owner asks for what they bought. Anybody else may mean either payment, and the wrong one
    /// takes a wanted order's money back, so that they have to name it while both have money left.
    fn payment_meant(&self, by: Principal) -> Result<&Attempt, OrderRefusal> {
        let paid = self.payment().ok_or(OrderRefusal::NotPaid)?;
        let has_rest = |attempt: &Attempt| !self.refundable_of(attempt).is_zero();
        let mut with_rest = self.attempts.iter().filter(|attempt| has_rest(attempt));
        match (with_rest.next(), with_rest.next(), by) {
            (Some(_), Some(_), Principal::Admin(_) | Principal::System) => {
                Err(OrderRefusal::RefundAttemptAmbiguous)
            }
            (Some(first), _, _) => Ok(if has_rest(paid) { paid } else { first }),
            (None, _, _) => Ok(paid),
        }
    }

    /// The tax-free part of a refund: what is taxed goes back first.
    fn tax_free_of(&self, attempt: &Attempt, amount: Won, refundable: Won) -> Won {
        let returned = self
            .refunds
            .iter()
            .filter(|refund| refund.attempt == attempt.number && refund.stage.is_taken())
            .map(|refund| refund.tax_free);
        let tax_free_left = Won::sum(returned)
            .and_then(|returned| attempt.tax_free.checked_sub(returned))
            .unwrap_or(Won::ZERO);
        let taxed_left = refundable.checked_sub(tax_free_left).unwrap_or(Won::ZERO);
        amount.checked_sub(taxed_left).unwrap_or(Won::ZERO)
    }

    pub(super) fn record_refund(
        &self,
        refund_id: RefundId,
        aid: Option<Text<64>>,
        amount: Won,
        refunded_at: DateTime<Utc>,
        at: DateTime<Utc>,
    ) -> Decision {
        let refund = self.refund(refund_id).ok_or(OrderRefusal::NoSuchRefund)?;
        let attempt = self.attempt(refund.attempt).ok_or(OrderRefusal::NoSuchAttempt)?;
        let fits = match refund.stage {
            // Told twice.
            RefundStage::Succeeded => return Ok(Vec::new()),
            RefundStage::Pending => amount == refund.amount,
            // It went through after all. Its sum was free meanwhile: it is only taken for what it
            // says if nobody asked for it again.
            RefundStage::Failed { .. } => {
                amount == refund.amount && amount <= self.refundable_of(attempt)
            }
        };
        if fits {
            return Ok(vec![OrderEvent::RefundSucceeded { refund_id, aid, amount, refunded_at }]);
        }
        let mismatch = Text::parse(MISMATCH).ok();
        Ok(mismatch.map(|reason| refund.unresolved(reason, at)).unwrap_or_default())
    }

    pub(super) fn record_refund_unresolved(
        &self,
        refund_id: RefundId,
        reason: Text<100>,
        at: DateTime<Utc>,
    ) -> Decision {
        let refund = self.refund(refund_id).ok_or(OrderRefusal::NoSuchRefund)?;
        match refund.stage {
            RefundStage::Pending => Ok(refund.unresolved(reason, at)),
            RefundStage::Succeeded | RefundStage::Failed { .. } => Ok(Vec::new()),
        }
    }

    pub(super) fn record_refund_failure(
        &self,
        refund_id: RefundId,
        class: DeclineClass,
        code: Text<100>,
        at: DateTime<Utc>,
    ) -> Decision {
        let refund = self.refund(refund_id).ok_or(OrderRefusal::NoSuchRefund)?;
        match refund.stage {
            RefundStage::Pending => {
                Ok(vec![OrderEvent::RefundFailed { refund_id, class, code, failed_at: at }])
            }
            // Told twice, or after it went through: money that went back stays back.
            RefundStage::Succeeded | RefundStage::Failed { .. } => Ok(Vec::new()),
        }
    }
}

impl Refund {
    pub(super) fn is_pending_of(&self, attempt: u32) -> bool {
        self.attempt == attempt && self.stage == RefundStage::Pending
    }

    /// Its outcome is unknown: on record once, until it is settled.
    pub(super) fn unresolved(&self, reason: Text<100>, at: DateTime<Utc>) -> Vec<OrderEvent> {
        if self.is_unresolved {
            return Vec::new();
        }
        vec![OrderEvent::PaymentUnresolved {
            attempt: self.attempt,
            step: GatewayStep::Cancel,
            reason,
            unresolved_at: at,
            refund_id: Some(self.id),
        }]
    }
}

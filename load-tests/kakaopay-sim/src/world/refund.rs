//! Giving money back, whole or in parts.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{MethodRefusal, World};
use crate::answers;
use crate::calls::{CancelCall, default_vat};
use crate::model::{Action, ActionKind, Payment, Status, Sums};
use crate::refusal::Refusal;

impl World {
    pub(super) fn cancel(
        &mut self,
        now: DateTime<Utc>,
        cid: &str,
        call: &CancelCall,
        method: Option<&MethodRefusal>,
    ) -> Result<Value, Refusal> {
        let mut payment = self.payment(cid, &call.tid)?.clone();
        check_cancellable(&payment, call, self.settings.guard_enforced)?;
        let given_back = self.given_back(payment.left(), call)?;
        if let Some(method) = method {
            return Err(method.refusal.clone());
        }

        payment.canceled = payment.canceled.plus(given_back);
        payment.canceled_at = Some(now);
        payment.status = if payment.canceled.total == payment.amount.total {
            Status::CancelPayment
        } else {
            Status::PartCancelPayment
        };
        payment.actions.push(Action {
            aid: self.issuer.aid(),
            kind: ActionKind::Cancel,
            amount: given_back.total,
            tax_free: given_back.tax_free,
            vat: given_back.vat,
            at: now,
            payload: call.payload.clone(),
        });
        let answer = answers::cancellation(&payment, given_back);
        self.put_payment(payment);
        Ok(answer)
    }

    /// The parts of the sum that goes back.
    fn given_back(&self, left: Sums, call: &CancelCall) -> Result<Sums, Refusal> {
        let is_last = call.amount == left.total;
        let vat = call.vat.unwrap_or_else(|| default_vat(call.amount, call.tax_free));
        if !self.settings.remaining_vat_enforced {
            // The last part takes what rounding left over of the tax.
            return Ok(if is_last { left } else { part(call, vat.min(left.vat)) });
        }
        if left.vat < vat {
            return Err(Refusal::new(-722, "vat amount is over what is left"));
        }
        let green_deposit = if is_last { left.green_deposit } else { 0 };
        Ok(Sums { green_deposit, ..part(call, vat) })
    }
}

const fn part(call: &CancelCall, vat: i64) -> Sums {
    Sums { total: call.amount, tax_free: call.tax_free, vat, green_deposit: 0 }
}

/// The checks of a cancellation, in KakaoPay's assumed order.
fn check_cancellable(
    payment: &Payment,
    call: &CancelCall,
    guard_enforced: bool,
) -> Result<(), Refusal> {
    let refuse = |code, message: &str| Err(Refusal::new(code, message));
    if !matches!(payment.status, Status::SuccessPayment | Status::PartCancelPayment) {
        return refuse(-784, "payment cannot be cancelled in this state");
    }
    let left = payment.left();
    let is_stale = call.available.is_some_and(|available| available != left.total);
    if guard_enforced && is_stale {
        return refuse(-710, "cancel_available_amount differs from what is left");
    }
    if payment.amount.total < call.amount {
        return refuse(-711, "cancel amount is over the original approval");
    }
    if left.total < call.amount {
        return refuse(-710, "cancel amount is over what is left");
    }
    if 0 < payment.amount.green_deposit && call.amount != payment.amount.total {
        return refuse(-784, "a payment with a deposit can only be cancelled whole");
    }
    if left.tax_free < call.tax_free || call.amount < call.tax_free {
        return refuse(-722, "invalid tax free amount");
    }
    if call.vat.is_some_and(|vat| call.amount - call.tax_free < vat) {
        return refuse(-722, "invalid vat amount");
    }
    Ok(())
}

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
        check_cancellable(&payment, call)?;
        if let Some(method) = method {
            return Err(method.refusal.clone());
        }

        let left = payment.left();
        let given_back = if call.amount == left.total {
            // The last part takes what rounding left over of the tax.
            left
        } else {
            let vat = call.vat.unwrap_or_else(|| default_vat(call.amount, call.tax_free));
            Sums {
                total: call.amount,
                tax_free: call.tax_free,
                vat: vat.min(left.vat),
                green_deposit: 0,
            }
        };
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
            amount: call.amount,
            at: now,
            payload: call.payload.clone(),
        });
        let answer = answers::cancellation(&payment, given_back);
        self.put_payment(payment);
        Ok(answer)
    }
}

/// The checks of a cancellation, in KakaoPay's assumed order.
fn check_cancellable(payment: &Payment, call: &CancelCall) -> Result<(), Refusal> {
    let refuse = |code, message: &str| Err(Refusal::new(code, message));
    if !matches!(payment.status, Status::SuccessPayment | Status::PartCancelPayment) {
        return refuse(-784, "payment cannot be cancelled in this state");
    }
    let left = payment.left();
    if call.available.is_some_and(|available| available != left.total) {
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

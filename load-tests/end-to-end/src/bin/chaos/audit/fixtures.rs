//! Charges and orders for the audit's own tests.

use chrono::DateTime;
use kakaopay_sim::{Charge, RefusedCancel, Status};

/// A charge of a taxed sum, with so much of it refunded.
pub(super) fn charge(tid: &str, amount: i64, cancelled: i64) -> Charge {
    Charge {
        tid: tid.to_owned(),
        cid: "TC0ONETIME".to_owned(),
        sid: None,
        is_recurring: false,
        partner_order_id: String::new(),
        partner_user_id: String::new(),
        amount,
        tax_free: 0,
        vat: amount / 11,
        approved_at: DateTime::UNIX_EPOCH,
        status: Status::SuccessPayment,
        cancelled,
        cancelled_tax_free: 0,
        cancelled_vat: cancelled / 11,
        cancels: Vec::new(),
    }
}

/// A cancellation that the method of payment refused with this word.
pub(super) fn refused(tid: &str, amount: i64, word: &str) -> RefusedCancel {
    let method_result_code = Some(word.to_owned());
    RefusedCancel { tid: tid.to_owned(), amount, code: -781, method_result_code }
}

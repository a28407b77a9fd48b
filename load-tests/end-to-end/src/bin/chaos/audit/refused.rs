//! A refund that is recorded as failed must have been refused by the gateway, for good.

use kakaopay_sim::{Ledger, RefusedCancel};
use uuid::Uuid;

use crate::books::{Books, OrderBook};
use crate::verdict::Verdict;

/// The code of a cancellation that the method of payment refused.
const CANCEL_REFUSED: i64 = -781;

/// What the method of payment says when it certainly refunds nothing and will not do so today: the
/// account is gone or blocked, or the merchant may not. Every other word may mean that money moved,
/// or that it moves later.
const FINAL: [&str; 22] = [
    "BANK_ACCOUNT_NOT_FOUND",
    "BANK_ACCOUNT_BLOCKED",
    "BANK_NOT_CONNECTED",
    "PAY_USER_NOT_FOUND",
    "USER_NOT_FOUND",
    "DEACTIVATED_USER_STATUS",
    "USER_DUPLICATION",
    "ITEM_NOT_FOUND",
    "DAILY_CROSSCHECK_INVALID_AUTH_KEY",
    "8314",
    "5005",
    "0004",
    "8350",
    "5009",
    "0026",
    "8324",
    "8515",
    "8037",
    "0014",
    "0019",
    "5007",
    "INVALID_PAYMENT_KEY",
];

/// Checks every refund that is recorded as failed.
pub(super) fn failed_only_if_refused(books: &Books, ledger: &Ledger, verdict: &mut Verdict) {
    for (id, book) in &books.orders {
        for refund in failed_without_refusal(book, &ledger.refused_cancels) {
            verdict.lost += 1;
            verdict.tell(format!(
                "lost: refund {refund} of {id} is recorded as failed and was never refused for good"
            ));
        }
    }
}

/// The refunds recorded as failed for which no final refusal of the same payment and sum is left:
/// one refusal fails one refund.
fn failed_without_refusal(book: &OrderBook, refused: &[RefusedCancel]) -> Vec<Uuid> {
    let mut refusals: Vec<&RefusedCancel> = refused.iter().filter(|it| is_final(it)).collect();
    let mut unfounded = Vec::new();
    for (id, refund) in book.refunds.iter().filter(|(_, refund)| 0 < refund.failed) {
        let is_its = |it: &&RefusedCancel| it.tid == refund.tid && it.amount == refund.amount;
        match refusals.iter().position(is_its) {
            Some(found) => {
                refusals.swap_remove(found);
            }
            None => unfounded.push(*id),
        }
    }
    unfounded
}

fn is_final(refused: &RefusedCancel) -> bool {
    let word = refused.method_result_code.as_deref();
    refused.code == CANCEL_REFUSED && word.is_some_and(|word| FINAL.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::refused;
    use super::*;
    use crate::books::RefundBook;

    fn failed(refunds: u128) -> OrderBook {
        let refund = RefundBook {
            requested: 1,
            tid: "T".to_owned(),
            amount: 700,
            failed: 1,
            ..RefundBook::default()
        };
        let refunds = (1..=refunds).map(|id| (Uuid::from_u128(id), refund.clone())).collect();
        OrderBook { refunds, ..OrderBook::default() }
    }

    #[test]
    fn a_refund_fails_only_by_a_final_refusal_of_its_payment_and_sum() {
        let unfounded =
            |refusals: &[RefusedCancel]| failed_without_refusal(&failed(1), refusals).len();
        assert_eq!(unfounded(&[refused("T", 700, "BANK_ACCOUNT_BLOCKED")]), 0);
        // Passed before: the refund failed in the log alone.
        assert_eq!(unfounded(&[]), 1);
        assert_eq!(unfounded(&[refused("U", 700, "BANK_ACCOUNT_BLOCKED")]), 1);
        assert_eq!(unfounded(&[refused("T", 70, "BANK_ACCOUNT_BLOCKED")]), 1);
    }

    #[test]
    fn a_refusal_that_may_mean_that_money_moved_fails_no_refund() {
        for word in ["BANK_FIRM_UNKNOWN", "INTERNAL_ERROR", "6666", "9X9X", "USER_LOCKED"] {
            assert_eq!(failed_without_refusal(&failed(1), &[refused("T", 700, word)]).len(), 1);
        }
        let left = RefusedCancel {
            code: -710,
            method_result_code: None,
            ..refused("T", 700, "BANK_ACCOUNT_BLOCKED")
        };
        assert_eq!(failed_without_refusal(&failed(1), &[left]).len(), 1);
    }

    #[test]
    fn one_refusal_fails_one_refund() {
        let once = refused("T", 700, "BANK_ACCOUNT_BLOCKED");
        assert_eq!(failed_without_refusal(&failed(2), std::slice::from_ref(&once)).len(), 1);
        assert_eq!(failed_without_refusal(&failed(2), &[once.clone(), once]).len(), 0);
    }
}

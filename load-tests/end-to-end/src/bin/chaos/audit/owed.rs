//! What the shop owes by itself: the money of a payment that no order waits for.
//!
//! A payment that arrives after its order's end, after its attempt was given up or beside another
//! payment of the order goes back whole and unasked. Nothing else goes back unasked, and nothing of
//! it is kept unless the gateway refused the refund.

use kakaopay_sim::Charge;
use uuid::Uuid;

use crate::books::{OrderBook, RefundBook};
use crate::verdict::Verdict;

/// Counts money kept of a payment that no order waits for as lost.
pub(super) fn keeps_nothing(id: Uuid, book: &OrderBook, charge: &Charge, verdict: &mut Verdict) {
    if let Some(kept) = kept_for_nothing(book, charge) {
        verdict.lost += 1;
        verdict.tell(format!(
            "lost: {kept} of {} are kept, although {id} is {:?} or did not wait for them",
            charge.amount, book.ended_unpaid
        ));
    }
}

/// What is kept of a charge that must go back, beyond the refunds of it that are recorded as refused.
fn kept_for_nothing(book: &OrderBook, charge: &Charge) -> Option<i64> {
    let is_owed = book.ended_unpaid.is_some()
        || book.approved.iter().any(|it| it.tid == charge.tid && it.owed_back.is_some());
    let refused: i64 = book
        .refunds
        .values()
        .filter(|refund| refund.tid == charge.tid && refund.is_refused())
        .map(|refund| refund.amount)
        .sum();
    let kept = charge.amount - charge.cancelled;
    Some(kept).filter(|_| is_owed && refused < kept)
}

/// Counts refunds that no shopper asked for and that the shop didn't owe as broken promises.
pub(super) fn unasked_refunds(id: Uuid, book: &OrderBook, verdict: &mut Verdict) {
    for (refund, it) in book.refunds.iter().filter(|(_, it)| !is_founded(it)) {
        verdict.broken_promises += 1;
        verdict.tell(format!(
            "broken: refund {refund} of {} of {id} by {:?} was neither asked for nor owed",
            it.amount, it.by
        ));
    }
}

/// What the shop refunded because it owed it, in won.
pub(super) fn owed_sum(book: &OrderBook) -> i64 {
    let owed = book.refunds.values().filter(|refund| refund.by != "user" && is_founded(refund));
    owed.map(|refund| refund.amount).sum()
}

/// Whether its owner asked for it or the shop owed it. No run plans a refund by an administrator.
fn is_founded(refund: &RefundBook) -> bool {
    match refund.by.as_str() {
        // Held against what shoppers asked for, elsewhere.
        "user" => true,
        "system" => refund.is_owed,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::charge;
    use super::*;
    use crate::books::{Ending, folded};
    use serde_json::{Value, json};

    fn approved(attempt: u32) -> (&'static str, Value) {
        let tid = format!("T{attempt}");
        ("PaymentApproved", json!({ "attempt": attempt, "tid": tid, "amount": { "total": 700 } }))
    }

    fn refund(attempt: u32, by: &str, amount: i64) -> (&'static str, Value) {
        let body = json!({
            "refund_id": Uuid::from_u128(u128::from(attempt)), "attempt": attempt,
            "tid": format!("T{attempt}"), "amount": amount, "refundable_before": 700, "by": by,
        });
        ("RefundRequested", body)
    }

    fn of_attempt(name: &'static str, attempt: u32) -> (&'static str, Value) {
        (name, json!({ "attempt": attempt, "step": "approve" }))
    }

    fn findings(events: &[(&str, Value)]) -> u64 {
        let mut verdict = Verdict::default();
        unasked_refunds(Uuid::nil(), &folded(events), &mut verdict);
        verdict.broken_promises
    }

    #[test]
    fn the_shop_refunds_unasked_what_no_order_waits_for() {
        let late = |ending: (&'static str, Value)| {
            findings(&[ending, approved(1), refund(1, "system", 700)])
        };
        assert_eq!(late(("OrderExpired", json!({}))), 0);
        assert_eq!(late(("OrderCancelled", json!({}))), 0);
        assert_eq!(late(of_attempt("PaymentDeclined", 1)), 0);
        assert_eq!(late(of_attempt("PaymentAbandoned", 1)), 0);
        // A second payment beside a live one.
        assert_eq!(findings(&[approved(1), approved(2), refund(2, "system", 700)]), 0);
    }

    #[test]
    fn a_refund_that_is_neither_asked_for_nor_owed_is_a_finding() {
        // All of these passed before: whatever the shop refunded by itself counted as owed.
        assert_eq!(findings(&[approved(1), refund(1, "system", 700)]), 1);
        assert_eq!(findings(&[approved(1), approved(2), refund(1, "system", 700)]), 1);
        let token_refused = of_attempt("PaymentTokenRefused", 1);
        assert_eq!(findings(&[token_refused, approved(1), refund(1, "system", 700)]), 1);
        let expired = ("OrderExpired", json!({}));
        assert_eq!(findings(&[expired.clone(), approved(1), refund(1, "system", 70)]), 1);
        assert_eq!(findings(&[expired.clone(), refund(1, "system", 700), approved(1)]), 1);
        assert_eq!(findings(&[expired, approved(1), refund(1, "admin", 700)]), 1);
        assert_eq!(findings(&[approved(1), refund(1, "user", 700)]), 0);
    }

    #[test]
    fn nothing_is_kept_on_an_order_that_ended_unpaid() {
        let unpaid = OrderBook { ended_unpaid: Some(Ending::Expired), ..OrderBook::default() };
        assert_eq!(kept_for_nothing(&unpaid, &charge("T1", 700, 700)), None);
        // Passed before where both ledgers had the charge: one live charge of at most the total.
        assert_eq!(kept_for_nothing(&unpaid, &charge("T1", 700, 0)), Some(700));
        assert_eq!(kept_for_nothing(&unpaid, &charge("T1", 700, 699)), Some(1));
        let open = OrderBook::default();
        assert_eq!(kept_for_nothing(&open, &charge("T1", 700, 0)), None);
    }

    #[test]
    fn a_late_payment_is_kept_only_while_its_refund_is_recorded_as_refused() {
        let declined = of_attempt("PaymentDeclined", 1);
        let mut events = vec![declined, approved(1), refund(1, "system", 700)];
        let kept =
            |events: &[(&str, Value)]| kept_for_nothing(&folded(events), &charge("T1", 700, 0));
        assert_eq!(kept(&events), Some(700));
        events.push(("RefundFailed", json!({ "refund_id": Uuid::from_u128(1) })));
        assert_eq!(kept(&events), None);
    }
}

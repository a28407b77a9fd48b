//! Our ledger against the gateway's, payment by payment.

use std::collections::{BTreeMap, BTreeSet};

use kakaopay_sim::{Charge, Ledger, Operation};
use uuid::Uuid;

use super::{charged, owed};
use crate::books::{Books, Ending, OrderBook};
use crate::verdict::Verdict;

/// Refusals of one refund after which asking again is no patience any more, and how many in all are
/// too few to judge.
const REFUSALS_PER_REFUND_MAX: u64 = 8;
const REFUSALS_LEAST: u64 = 40;

/// The gateway's charges, by order.
pub(crate) fn by_order(ledger: &Ledger) -> BTreeMap<Uuid, Vec<&Charge>> {
    let mut charges: BTreeMap<Uuid, Vec<&Charge>> = BTreeMap::new();
    for charge in &ledger.charges {
        // The gateway's name of an attempt is the order's id, a dash and the attempt's number.
        let id = charge.partner_order_id.rsplit_once('-').and_then(|(id, _)| id.parse().ok());
        charges.entry(id.unwrap_or_default()).or_default().push(charge);
    }
    charges
}

/// Counts of both ledgers.
pub(super) fn sum_up(books: &Books, ledger: &Ledger, verdict: &mut Verdict) {
    let count =
        |is: fn(&OrderBook) -> bool| books.orders.values().filter(|book| is(book)).count() as u64;
    verdict.orders = books.orders.len() as u64;
    verdict.paid = count(|book| !book.approved.is_empty());
    verdict.ended_unpaid = count(|book| book.ended_unpaid.is_some());
    verdict.expired = count(|book| book.ended_unpaid == Some(Ending::Expired));
    verdict.charged_by_sim = ledger.totals.charges;
    verdict.charged_won = ledger.totals.charged;
    verdict.cancelled_won = ledger.totals.cancelled;
    verdict.lookups = ledger.calls(Operation::Order).committed;
    verdict.faults_fired = ledger.calls.values().map(|calls| calls.faulted).sum();
    verdict.events = books.events;
    let mut requested = 0;
    for book in books.orders.values() {
        verdict.paid_won += book.approved_sum();
        verdict.refunded_won += book.refunded_sum();
        verdict.declined += book.declined;
        for refund in book.refunds.values() {
            requested += 1;
            verdict.refunds += refund.succeeded.len() as u64;
            verdict.refunds_refused += refund.failed;
        }
    }
    let refused = ledger.calls(Operation::Cancel).refused;
    verdict.cancels_refused = refused;
    if REFUSALS_LEAST.max(requested * REFUSALS_PER_REFUND_MAX) < refused {
        verdict.unresolved += 1;
        verdict.tell(format!(
            "unresolved: {requested} refunds were asked for again and again, {refused} refusals"
        ));
    }
}

/// Every order in both ledgers.
pub(super) fn compare(books: &Books, ledger: &Ledger, verdict: &mut Verdict) {
    let charges = by_order(ledger);
    for (id, book) in &books.orders {
        let charged = charges.get(id).map(Vec::as_slice).unwrap_or_default();
        hold_against(*id, book, charged, verdict);
        is_over(*id, book, verdict);
    }
    for (id, charged) in &charges {
        if !books.orders.contains_key(id) {
            verdict.lost += charged.len() as u64;
            verdict.tell(format!("lost: {} charges of {id}, which is no order", charged.len()));
        }
    }
}

fn hold_against(id: Uuid, book: &OrderBook, charged: &[&Charge], verdict: &mut Verdict) {
    for charge in charged {
        charged::is_what_it_costs(id, book, charge, verdict);
        owed::keeps_nothing(id, book, charge, verdict);
        let of_it = book.approved.iter().filter(|approval| approval.tid == charge.tid);
        let ours: Vec<i64> = of_it.map(|approval| approval.amount).collect();
        if ours.is_empty() || ours.iter().any(|amount| *amount != charge.amount) {
            verdict.lost += 1;
            verdict.tell(format!(
                "lost: {id} was charged {} ({} refunded), we have {ours:?}, {:?}",
                charge.amount, charge.cancelled, book.ended_unpaid
            ));
        }
        if 1 < ours.len() {
            verdict.doubled += 1;
            verdict.tell(format!("doubled: one charge of {id} is recorded {} times", ours.len()));
        }
        let refunded = book.refunded_of(&charge.tid);
        if refunded != charge.cancelled {
            verdict.lost += 1;
            verdict.tell(format!(
                "lost: {} of {id} were refunded, we have {refunded}",
                charge.cancelled
            ));
        }
    }
    let known: BTreeSet<&str> = charged.iter().map(|charge| charge.tid.as_str()).collect();
    for approval in &book.approved {
        if !known.contains(approval.tid.as_str()) {
            verdict.lost += 1;
            verdict.tell(format!(
                "lost: {id} is recorded as paid ({}) and was never charged",
                approval.amount
            ));
        }
    }
    let live = charged.iter().filter(|charge| charge.cancelled < charge.amount).count();
    let kept: i64 = charged.iter().map(|charge| charge.amount - charge.cancelled).sum();
    if 1 < live || book.total < kept {
        verdict.doubled += 1;
        verdict.tell(format!("doubled: {id} over {} pays {kept} in {live} charges", book.total));
    }
    if book.placed != 1 {
        verdict.doubled += 1;
        verdict.tell(format!("doubled: {id} was placed {} times", book.placed));
    }
    for (refund, it) in &book.refunds {
        if it.requested != 1 || 1 < it.succeeded.len() {
            verdict.doubled += 1;
            verdict.tell(format!(
                "doubled: refund {refund} of {id} was requested {} times and made {} times",
                it.requested,
                it.succeeded.len()
            ));
        }
    }
}

/// Time has passed beyond every page and every night: nothing of an order may still be open.
fn is_over(id: Uuid, book: &OrderBook, verdict: &mut Verdict) {
    let open = book.approving.len() + book.unresolved.len() + book.refunding();
    if 0 < open {
        verdict.unresolved += open as u64;
        verdict.tell(format!(
            "unresolved: {id}, approving {:?}, unresolved {:?}, refunding {}",
            book.approving,
            book.unresolved,
            book.refunding()
        ));
    } else if book.approved.is_empty() && book.ended_unpaid.is_none() {
        verdict.unresolved += 1;
        verdict.tell(format!("unresolved: {id} is neither paid nor over"));
    }
}

//! What shoppers were promised against what the log and the gateway have.

use std::collections::{BTreeMap, BTreeSet};

use kakaopay_sim::Ledger;
use uuid::Uuid;

use super::money::by_order;
use super::owed;
use crate::books::{Books, OrderBook};
use crate::intents::{Intent, Wish};
use crate::schedule::PlannedOrder;
use crate::shopper::Told;
use crate::verdict::Verdict;

/// Folds the intent ledger.
pub(super) fn keep_word(books: &Books, ledger: &Ledger, told: &Told, verdict: &mut Verdict) {
    verdict.intents = told.intents.count() as u64;
    let mut by_book: BTreeMap<Uuid, Vec<&Intent>> = BTreeMap::new();
    for (key, intent) in told.intents.all() {
        verdict.acknowledged += u64::from(intent.is_acknowledged());
        if let Some(order) = intent.order {
            by_book.entry(order).or_default().push(intent);
        }
        if intent.is_acknowledged() {
            is_kept(key, intent, books, verdict);
        }
    }
    let charges = by_order(ledger);
    for (id, book) in &books.orders {
        let charged = charges.get(id).map(Vec::as_slice).unwrap_or_default();
        let refunded = charged.iter().map(|charge| charge.cancelled).sum();
        let intents = by_book.get(id).map(Vec::as_slice).unwrap_or_default();
        asked_for(*id, book, intents, verdict);
        owed::unasked_refunds(*id, book, verdict);
        refunded_as_asked(*id, book, intents, refunded, verdict);
    }
    no_other_orders(books, told, verdict);
    for stuck in &told.stuck {
        verdict.unresolved += 1;
        verdict.tell(format!("unresolved: {stuck} when the shopper's patience ended"));
    }
    verdict.troubles = told.troubles.len() as u64;
    for trouble in &told.troubles {
        verdict.tell(format!("trouble: {trouble}"));
    }
}

/// An acknowledged intent left an event.
fn is_kept(key: &str, intent: &Intent, books: &Books, verdict: &mut Verdict) {
    let mut broken = |what: &str| {
        verdict.broken_promises += 1;
        let order = intent.order.unwrap_or_default();
        verdict.tell(format!("broken: {what} of {order} was acknowledged (key {key})"));
    };
    let Some(book) = intent.order.and_then(|order| books.orders.get(&order)) else {
        return broken("an order that is not in the log");
    };
    match &intent.wish {
        Wish::Pay if book.requested.is_empty() => broken("a payment that was never requested"),
        // A browser that comes back to an order that is over is shown so, and nothing is recorded.
        Wish::Return { attempt }
            if book.ended_unpaid.is_none() && !book.returned.contains(&i64::from(*attempt)) =>
        {
            broken("a return that is not recorded");
        }
        Wish::CallOff if book.ended_unpaid.is_none() && !book.is_called_off() => {
            broken("a cancellation without an event");
        }
        Wish::Refund { amount } => {
            let named = intent.answer.as_ref().and_then(|answer| answer.refund);
            let found = named.and_then(|refund| book.refunds.get(&refund));
            if found.is_none_or(|refund| refund.requested == 0 || refund.amount != *amount) {
                broken("a refund that was never requested");
            }
        }
        // An order that was placed is held against the log elsewhere, with the receiver opened.
        Wish::Place(_) | Wish::Pay | Wish::Return { .. } | Wish::CallOff => {}
    }
}

/// Nothing was requested more often than shoppers asked for it.
fn asked_for(id: Uuid, book: &OrderBook, intents: &[&Intent], verdict: &mut Verdict) {
    let asked = |is: fn(&Wish) -> bool| {
        intents.iter().filter(|it| is(&it.wish) && it.may_have_happened()).count()
    };
    let attempts: BTreeSet<i64> = book.requested.iter().copied().collect();
    if attempts.len() != book.requested.len() {
        verdict.doubled += 1;
        verdict.tell(format!("doubled: an attempt of {id} was requested twice"));
    }
    // A call-off of a paid order is a refund, too.
    let wanted = asked(|wish| matches!(wish, Wish::Refund { .. } | Wish::CallOff));
    let recorded = book.refunds.values().filter(|refund| refund.by == "user").count();
    if wanted < recorded {
        verdict.doubled += 1;
        verdict.tell(format!("doubled: {recorded} refunds of {id}, asked for {wanted} times"));
    }
}

/// What the gateway refunded is at most what shoppers asked for, and what the shop owed by itself.
fn refunded_as_asked(
    id: Uuid,
    book: &OrderBook,
    intents: &[&Intent],
    refunded: i64,
    verdict: &mut Verdict,
) {
    if refunded == 0 {
        return;
    }
    let mut most = owed::owed_sum(book);
    for intent in intents.iter().filter(|it| it.may_have_happened()) {
        most += match intent.wish {
            Wish::Refund { amount } => amount,
            Wish::CallOff => book.total,
            Wish::Place(_) | Wish::Pay | Wish::Return { .. } => 0,
        };
    }
    if most < refunded {
        verdict.doubled += 1;
        verdict.tell(format!("doubled: {refunded} of {id} were refunded, asked for {most}"));
    }
}

/// Every order in the log was promised to a shopper.
fn no_other_orders(books: &Books, told: &Told, verdict: &mut Verdict) {
    let placed: BTreeSet<Uuid> = told.placed.values().copied().collect();
    for id in placed.iter().filter(|id| !books.orders.contains_key(id)) {
        verdict.lost += 1;
        verdict.tell(format!("lost: order {id} was promised and is not in the log"));
    }
    // A shopper whose request was never answered may have an order without knowing.
    let untold = books.orders.keys().filter(|id| !placed.contains(id)).count();
    let excused = told.troubles.len();
    if excused < untold {
        verdict.doubled += (untold - excused) as u64;
        verdict.tell(format!("doubled: {untold} orders that no shopper was told of"));
    }
}

/// How many of the orders that were to be paid are.
pub(super) fn paid_share(
    books: &Books,
    told: &Told,
    planned: &[PlannedOrder],
    verdict: &mut Verdict,
) {
    for plan in planned.iter().filter(|plan| plan.is_to_be_paid()) {
        verdict.planned_to_pay += 1;
        let book = told.placed.get(&plan.number).and_then(|order| books.orders.get(order));
        verdict.planned_paid += u64::from(book.is_some_and(|book| !book.approved.is_empty()));
    }
    if !verdict.is_paid_enough() {
        verdict.tell(format!(
            "too few paid: {} of {} orders that were to be paid",
            verdict.planned_paid, verdict.planned_to_pay
        ));
    }
}

//! Holds our books against the gateway's, payment by payment, and the read models against a replay.

use std::collections::{BTreeMap, BTreeSet};

use kakaopay_sim::{Charge, Ledger, Operation};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::Failure;
use crate::books::{Books, Ending, OrderBook};
use crate::shopper::Told;
use crate::verdict::Verdict;
use crate::world::World;

/// Everything that can be asked once nothing moves any more.
pub(crate) async fn audit(
    world: &World,
    told: &Told,
    verdict: &mut Verdict,
) -> Result<(), Failure> {
    let client = world.connect().await?;
    let books = Books::read(&client).await?;
    let ledger = world.kakaopay.ledger();
    let charges = by_order(&ledger);
    sum_up(&books, &ledger, verdict);
    for (id, book) in &books.orders {
        let charged = charges.get(id).map(Vec::as_slice).unwrap_or_default();
        hold_against(*id, book, charged, verdict);
        follow_up(*id, book, &books, verdict);
    }
    for (id, charged) in &charges {
        if !books.orders.contains_key(id) {
            verdict.lost += charged.len() as u64;
            verdict.tell(format!("lost: {} charges of {id}, which is no order", charged.len()));
        }
    }
    keep_word(&books, told, verdict);
    look_for_stuck(&client, verdict).await?;
    verify_read_models(world, verdict).await
}

fn by_order(ledger: &Ledger) -> BTreeMap<Uuid, Vec<&Charge>> {
    let mut charges: BTreeMap<Uuid, Vec<&Charge>> = BTreeMap::new();
    for charge in &ledger.charges {
        // The gateway's name of an attempt is the order's id, a dash and the attempt's number.
        let id = charge.partner_order_id.rsplit_once('-').and_then(|(id, _)| id.parse().ok());
        charges.entry(id.unwrap_or_default()).or_default().push(charge);
    }
    charges
}

fn sum_up(books: &Books, ledger: &Ledger, verdict: &mut Verdict) {
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
    for book in books.orders.values() {
        verdict.paid_won += book.approved_sum();
        verdict.refunded_won += book.refunded_sum();
        verdict.refunds += book.refunded.len() as u64;
        verdict.refunds_refused += book.refused_refunds;
        verdict.declined += book.declined;
    }
}

/// One order in both books.
fn hold_against(id: Uuid, book: &OrderBook, charged: &[&Charge], verdict: &mut Verdict) {
    for charge in charged {
        let ours: Vec<i64> = book
            .approved
            .iter()
            .filter(|(tid, _)| *tid == charge.tid)
            .map(|(_, amount)| *amount)
            .collect();
        if ours.is_empty() || ours.iter().any(|amount| *amount != charge.amount) {
            verdict.lost += 1;
            verdict.tell(format!("lost: {id} was charged {}, we say {ours:?}", charge.amount));
        }
        if 1 < ours.len() {
            verdict.doubled += 1;
            verdict.tell(format!("doubled: one charge of {id} is booked {} times", ours.len()));
        }
        let refunded = book.refunded_of(&charge.tid);
        if refunded != charge.cancelled {
            verdict.lost += 1;
            verdict
                .tell(format!("lost: {} of {id} went back, we say {refunded}", charge.cancelled));
        }
    }
    let known: BTreeSet<&str> = charged.iter().map(|charge| charge.tid.as_str()).collect();
    for (tid, amount) in &book.approved {
        if !known.contains(tid.as_str()) {
            verdict.lost += 1;
            verdict.tell(format!("lost: {id} is booked as paid ({amount}) and was never charged"));
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
    let open = book.approving.len() + book.unresolved.len() + book.refunding.len();
    if 0 < open {
        verdict.unresolved += open as u64;
        verdict.tell(format!(
            "unresolved: {id}, approving {:?}, unresolved {:?}, refunding {}",
            book.approving,
            book.unresolved,
            book.refunding.len()
        ));
    }
}

/// What must follow from a paid order: its lines leave the cart once, its subscriptions open once.
fn follow_up(id: Uuid, book: &OrderBook, books: &Books, verdict: &mut Verdict) {
    let kept = book.approved_sum() - book.refunded_sum();
    // Given back before the reaction came, an order may or may not have been followed up.
    let is_certain = 0 < kept && book.refunding.is_empty() && book.ended_unpaid.is_none();
    let is_possible = !book.approved.is_empty();
    for (line_no, item) in &book.lines {
        let bought = books.bought.get(&(id, *item)).copied().unwrap_or_default();
        let opened = books.opened.get(&(id, *line_no)).copied().unwrap_or_default();
        for (what, times, applies) in
            [("left the cart", bought, book.from_cart), ("opened", opened, book.is_subscription)]
        {
            let least = u32::from(applies && is_certain);
            let most = u32::from(applies && is_possible);
            if !(least..=most).contains(&times) {
                verdict.differences += 1;
                verdict.tell(format!(
                    "different: line {line_no} of {id} {what} {times} times, not {least} to {most}"
                ));
            }
        }
    }
}

/// Every order that a shopper was told of is there, and no other.
fn keep_word(books: &Books, told: &Told, verdict: &mut Verdict) {
    let placed: BTreeSet<Uuid> = told.placed.values().copied().collect();
    for id in placed.iter().filter(|id| !books.orders.contains_key(id)) {
        verdict.lost += 1;
        verdict.tell(format!("lost: order {id} was promised and is not in the log"));
    }
    // A shopper whose request was never answered may have an order that nobody told it of.
    let untold = books.orders.keys().filter(|id| !placed.contains(id)).count();
    let excused = told.troubles.len();
    if excused < untold {
        verdict.doubled += (untold - excused) as u64;
        verdict.tell(format!("doubled: {untold} orders that no shopper was told of"));
    }
    verdict.troubles = told.troubles.len() as u64;
    for trouble in &told.troubles {
        verdict.tell(format!("trouble: {trouble}"));
    }
}

async fn look_for_stuck(client: &Client, verdict: &mut Verdict) -> Result<(), Failure> {
    for row in client.query(include_str!("sql/stuck.sql"), &[]).await? {
        let (id, kind): (&str, &str) = (row.try_get("aggregate_id")?, row.try_get("kind")?);
        let (state, error): (&str, &str) = (row.try_get("state")?, row.try_get("last_error")?);
        let attempt: i32 = row.try_get("attempt")?;
        verdict.unresolved += 1;
        verdict
            .tell(format!("unresolved: {kind} of {id} is {state} after {attempt} tries: {error}"));
    }
    for row in client.query(include_str!("sql/parked.sql"), &[]).await? {
        let (reader, id): (&str, &str) = (row.try_get("reader")?, row.try_get("aggregate_id")?);
        let (kind, error): (&str, &str) = (row.try_get("event_type")?, row.try_get("error")?);
        verdict.differences += 1;
        verdict.tell(format!("different: {reader} set {kind} of {id} aside: {error}"));
    }
    let row = client.query_one(include_str!("sql/settled_late.sql"), &[]).await?;
    let late: i64 = row.try_get("settled_late")?;
    verdict.settled_by_lookup = u64::try_from(late).unwrap_or_default();
    Ok(())
}

async fn verify_read_models(world: &World, verdict: &mut Verdict) -> Result<(), Failure> {
    let config = world.projector()?;
    for name in projections::names() {
        let report = projections::verify(&config, name).await?;
        verdict.rows_verified += report.rows;
        if !report.is_equal() {
            verdict.differences += report.differing;
            verdict.tell(format!("different: {name}: {report}"));
        }
    }
    Ok(())
}

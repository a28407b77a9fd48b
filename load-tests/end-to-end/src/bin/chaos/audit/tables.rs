//! Tables that were folded from the log, against the run's own fold of it.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;
use uuid::Uuid;

use crate::Failure;
use crate::books::{Books, Ending, OrderBook};
use crate::verdict::Verdict;

/// Compares all of them.
pub(super) async fn compare(
    client: &Client,
    books: &Books,
    verdict: &mut Verdict,
) -> Result<(), Failure> {
    payment_ledger(client, books, verdict).await?;
    order_history(client, books, verdict).await?;
    payment_index(client, books, verdict).await?;
    order_expiry(client, books, verdict).await
}

/// Order, attempt, amount and position of an entry, by booking and account.
type Entries = BTreeMap<(String, String), (Uuid, i64, i64, i64)>;

async fn payment_ledger(
    client: &Client,
    books: &Books,
    verdict: &mut Verdict,
) -> Result<(), Failure> {
    let mut expected = Entries::new();
    for (id, book) in &books.orders {
        for approval in &book.approved {
            let booking = format!("approval/{id}/{}", approval.attempt);
            for (account, amount) in
                [("gateway_receivable", approval.amount), ("sales", -approval.amount)]
            {
                let key = (booking.clone(), account.to_owned());
                expected.insert(key, (*id, approval.attempt, amount, approval.position));
            }
        }
        for (refund, it) in &book.refunds {
            for (amount, position) in &it.succeeded {
                for (account, amount) in [("refunds", *amount), ("gateway_receivable", -*amount)] {
                    let key = (format!("refund/{refund}"), account.to_owned());
                    expected.insert(key, (*id, it.attempt, amount, *position));
                }
            }
        }
    }
    let mut shown = Entries::new();
    for row in client.query(include_str!("../sql/payment_ledger.sql"), &[]).await? {
        let attempt: i32 = row.try_get("attempt")?;
        shown.insert(
            (row.try_get("booking")?, row.try_get("account")?),
            (
                row.try_get("order_id")?,
                i64::from(attempt),
                row.try_get("amount")?,
                row.try_get("position")?,
            ),
        );
    }
    verdict.rows_verified += expected.len() as u64;
    differ("payment_ledger", &expected, &shown, verdict);
    Ok(())
}

/// What a row of the order history shows, but for its status.
type Shown = (String, Uuid, i64, i64, i64, i64, i64);

async fn order_history(
    client: &Client,
    books: &Books,
    verdict: &mut Verdict,
) -> Result<(), Failure> {
    let expected: BTreeMap<Uuid, Shown> = books
        .orders
        .iter()
        .map(|(id, book)| {
            let lines = i64::try_from(book.lines.len()).unwrap_or_default();
            let shown = (
                book.number.clone(),
                book.user,
                lines,
                book.total,
                book.approved_sum(),
                book.refunded_sum(),
                book.version,
            );
            (*id, shown)
        })
        .collect();
    let mut shown = BTreeMap::new();
    let mut statuses = BTreeMap::new();
    for row in client.query(include_str!("../sql/order_history.sql"), &[]).await? {
        let id: Uuid = row.try_get("order_id")?;
        let lines: i32 = row.try_get("line_count")?;
        statuses.insert(id, row.try_get::<_, String>("status")?);
        let row: Shown = (
            row.try_get("number")?,
            row.try_get("user_id")?,
            i64::from(lines),
            row.try_get("total")?,
            row.try_get("paid")?,
            row.try_get("refunded")?,
            row.try_get("version")?,
        );
        shown.insert(id, row);
    }
    verdict.rows_verified += expected.len() as u64;
    differ("order_history", &expected, &shown, verdict);
    for (id, book) in &books.orders {
        let status = statuses.get(id).map_or("", String::as_str);
        if let Some(expected) = status_of(book).filter(|expected| *expected != status) {
            verdict.differences += 1;
            verdict.tell(format!("different: {id} is shown as {status}, not {expected}"));
        }
    }
    Ok(())
}

/// The status of an order at rest; none for one that is not at rest.
fn status_of(book: &OrderBook) -> Option<&'static str> {
    if 0 < book.refunding() || !book.approving.is_empty() || !book.unresolved.is_empty() {
        return None;
    }
    // What was paid too late and refunded by the shop itself changes nothing.
    let Some(paid) = book.paid_in_time() else {
        return book.ended_unpaid.map(|ending| match ending {
            Ending::CalledOff => "CANCELLED",
            Ending::Expired => "EXPIRED",
        });
    };
    Some(match book.refunded_of(&paid.tid) {
        0 => "PAID",
        refunded if paid.amount <= refunded => "REFUNDED",
        _ => "PARTLY_REFUNDED",
    })
}

async fn payment_index(
    client: &Client,
    books: &Books,
    verdict: &mut Verdict,
) -> Result<(), Failure> {
    let mut expected: BTreeSet<(Uuid, i64)> = BTreeSet::new();
    for (id, book) in &books.orders {
        expected.extend(book.approved.iter().map(|approval| (*id, approval.attempt)));
    }
    let mut shown = BTreeSet::new();
    for row in client.query(include_str!("../sql/payment_index.sql"), &[]).await? {
        let (id, attempt): (Uuid, i32) = (row.try_get("order_id")?, row.try_get("attempt")?);
        let (key, state): (_, &str) = ((id, i64::from(attempt)), row.try_get("state")?);
        let open = books.orders.get(&id).is_some_and(|book| {
            book.approving.contains(&key.1) || book.unresolved.contains(&key.1)
        });
        match state {
            "approved" => drop(shown.insert(key)),
            "approving" | "unresolved" if !open => {
                verdict.differences += 1;
                verdict.tell(format!("different: payment_index has {key:?} as {state}"));
            }
            // Attempts that ended without money may be kept for another look-up.
            _ => {}
        }
    }
    for key in expected.symmetric_difference(&shown) {
        verdict.differences += 1;
        let is_expected = expected.contains(key);
        verdict.tell(format!("different: payment_index, approved {key:?}: log {is_expected}"));
    }
    Ok(())
}

async fn order_expiry(
    client: &Client,
    books: &Books,
    verdict: &mut Verdict,
) -> Result<(), Failure> {
    let is_open = |book: &OrderBook| book.approved.is_empty() && book.ended_unpaid.is_none();
    let expected: BTreeSet<Uuid> =
        books.orders.iter().filter(|(_, book)| is_open(book)).map(|(id, _)| *id).collect();
    let mut shown = BTreeSet::new();
    for row in client.query(include_str!("../sql/order_expiry.sql"), &[]).await? {
        shown.insert(row.try_get::<_, Uuid>("order_id")?);
    }
    for id in expected.symmetric_difference(&shown) {
        verdict.differences += 1;
        let is_expected = expected.contains(id);
        verdict.tell(format!("different: order_expiry, {id} is open: log {is_expected}"));
    }
    Ok(())
}

fn differ<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    table: &str,
    expected: &BTreeMap<K, V>,
    shown: &BTreeMap<K, V>,
    verdict: &mut Verdict,
) {
    let keys: BTreeSet<&K> = expected.keys().chain(shown.keys()).collect();
    for key in keys {
        let (ours, theirs) = (expected.get(key), shown.get(key));
        if ours != theirs {
            verdict.differences += 1;
            verdict.tell(format!("different: {table} {key:?}: log {ours:?}, row {theirs:?}"));
        }
    }
}

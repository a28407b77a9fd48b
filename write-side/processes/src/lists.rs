//! Lists for operators at a terminal: a line each, or JSON.

use std::io::{self, Write};

use operator::{MissingKey, OpenDifference, OpenPayment, OpenRefund, Operator, ParkedView};
use serde::Serialize;
use service_kit::cli::{self, Rows};
use service_kit::clock::{Clock, SystemClock};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Payments without an outcome.
pub(crate) async fn unresolved(operator: &Operator, limit: u32, json: bool) -> Result<(), Failure> {
    let open = operator.unresolved(SystemClock.now(), limit).await?;
    print(&open, limit, json, |out, payment: &OpenPayment| {
        let OpenPayment { order_id, attempt, state, since, next_look_up_at, .. } = payment;
        let row = payment.row_state.as_deref().unwrap_or("no row");
        let error = payment.last_error.as_deref().unwrap_or("-");
        write!(out, "{order_id}  attempt {attempt}  {state:<10}  since {since:.0}  ")?;
        writeln!(out, "next look-up {next_look_up_at:.0}  {row}  {error}")
    })
}

/// Differences from KakaoPay's ledger.
pub(crate) async fn differences(
    operator: &Operator,
    limit: u32,
    json: bool,
) -> Result<(), Failure> {
    let open = operator.differences(limit).await?;
    print(&open, limit, json, |out, difference: &OpenDifference| {
        let OpenDifference { order_id, attempt, kind, ours, theirs, .. } = difference;
        let found_at = difference.found_at;
        write!(out, "{order_id}  attempt {attempt}  {kind:<10}  since {found_at:.0}  ")?;
        writeln!(out, "{ours} | {theirs}")
    })
}

/// Events that reactions set aside.
pub(crate) async fn parked(operator: &Operator, limit: u32, json: bool) -> Result<(), Failure> {
    let parked = operator.parked(limit).await?;
    print(&parked, limit, json, |out, event: &ParkedView| {
        let ParkedView { name, position, stream, event_type, error, attempts, .. } = event;
        let asked = if event.retry_asked { "  retry asked" } else { "" };
        write!(out, "{name}  {position}  {stream}  {event_type}  ")?;
        writeln!(out, "attempts {attempts}{asked}  {error}")
    })
}

/// Refunds that the shop owes.
pub(crate) async fn refunds(operator: &Operator, limit: u32, json: bool) -> Result<(), Failure> {
    let open = operator.open_refunds(SystemClock.now(), false, limit).await?;
    print(&open, limit, json, |out, refund: &OpenRefund| {
        let OpenRefund { refund_id, order_id, attempt, amount, state, .. } = refund;
        let OpenRefund { due_on, requested_at, .. } = refund;
        let kind = if refund.is_automatic { "automatic" } else { "requested" };
        let row = refund.row_state.as_deref().unwrap_or("no row");
        let why = refund.code.as_deref().or(refund.last_error.as_deref()).unwrap_or("-");
        write!(out, "due {due_on}  {refund_id}  order {order_id}  attempt {attempt}  ")?;
        write!(out, "{amount:>9} won  {state:<7}  ")?;
        writeln!(out, "{kind}  requested {requested_at:.0}  {row}  {why}")
    })
}

/// Recurring keys that are missing.
pub(crate) async fn missing_keys(
    operator: &Operator,
    limit: u32,
    json: bool,
) -> Result<(), Failure> {
    let missing = operator.missing_keys(limit).await?;
    print(&missing, limit, json, |out, key: &MissingKey| {
        let MissingKey { billing_key_id, user_id, since } = key;
        writeln!(out, "{billing_key_id}  user {user_id}  since {since:.0}")
    })
}

/// Prints a list, and that it goes on where it was cut off.
pub(crate) fn print<T: Serialize>(
    found: &[T],
    limit: u32,
    json: bool,
    line: impl Fn(&mut dyn Write, &T) -> io::Result<()>,
) -> Result<(), Failure> {
    if json {
        cli::print_json(&Rows { rows: found })?;
    } else {
        let mut out = io::stdout().lock();
        for one in found {
            line(&mut out, one)?;
        }
    }
    let mut notes = io::stderr();
    if found.is_empty() && !json {
        writeln!(notes, "no rows")?;
    }
    if u32::try_from(found.len()) == Ok(limit) {
        writeln!(notes, "only the first {limit} are shown; --limit N shows more")?;
    }
    Ok(())
}

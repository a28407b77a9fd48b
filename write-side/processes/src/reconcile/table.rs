//! The report for people (ours | theirs, a payment a line) and for machines (a JSON object a line).

use std::io::{self, Write};

use chrono::{NaiveDate, NaiveTime};
use contracts::calendar::from_kst;

use super::{Books, Compared, Span, Summary};
use contracts::calendar::add_days;

/// The Korean dates `from` to `to`, both included.
pub fn days(from: NaiveDate, to: NaiveDate) -> Span {
    let midnight = |date: NaiveDate| from_kst(date.and_time(NaiveTime::MIN));
    Span { from: midnight(from), to: midnight(add_days(to, 1)) }
}

/// Writes the head of the table.
///
/// # Errors
/// `out` takes nothing.
pub fn head(out: &mut impl Write) -> io::Result<()> {
    let (ours, theirs) = ("OURS", "THEIRS");
    writeln!(out, "{:<16}  {:<22}  {ours:<38} | {theirs:<38} | VERDICT", "ORDER", "TID")
}

/// Writes one payment.
///
/// # Errors
/// `out` takes nothing.
pub fn line(out: &mut impl Write, compared: &Compared) -> io::Result<()> {
    let Compared { number, tid, ours, theirs, verdict, differences, unanswered, .. } = compared;
    let theirs = theirs.as_ref().map_or_else(|| "-".to_owned(), side);
    write!(out, "{number:<16}  {tid:<22}  {:<38} | {theirs:<38} | {}", side(ours), verdict.name())?;
    for difference in differences {
        let (kind, ours, theirs) = (difference.kind.name(), &difference.ours, &difference.theirs);
        write!(out, "  {kind}: {ours} | {theirs}")?;
    }
    if let Some(why) = unanswered {
        write!(out, "  {why}")?;
    }
    writeln!(out)
}

/// Writes how many came out how.
///
/// # Errors
/// `out` takes nothing.
pub fn foot(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let Summary { same, differing, under_way, unanswered, passed_over } = summary;
    writeln!(
        out,
        "{} payments: {same} same, {differing} differing, {under_way} under way, \
         {unanswered} unanswered, {passed_over} passed over",
        summary.total()
    )
}

fn side(books: &Books) -> String {
    format!("{:>9} {:>9} {}", books.amount, books.cancelled, books.status)
}

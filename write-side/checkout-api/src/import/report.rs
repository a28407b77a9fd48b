//! What an import did: counts, and every refused row with its line and reason.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::Outcome;
use super::row::RowRefusal;

/// Refused rows listed one by one; beyond them only the number is kept, so that a file of garbage
/// can't fill the memory.
const REFUSALS_LISTED_MAX: usize = 10_000;
/// Refused rows shown on a terminal; the JSON report has them all.
const REFUSALS_SHOWN_MAX: usize = 20;

/// What an import did.
#[derive(Debug, Default, Serialize)]
pub struct ImportReport {
    /// Rows looked at: the sum of the next four.
    pub rows: u64,
    /// New items.
    pub accepted: u64,
    /// Items that were there just so.
    pub unchanged: u64,
    /// Items that were there otherwise.
    pub changed: u64,
    /// Rows that could not be taken.
    pub refused: u64,
    /// Whether the file broke off: a truncated archive, a failing disk, JSON that ends in the middle.
    pub cut_short: bool,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The refused rows by line, at most ten thousand of them.
    pub refusals: Vec<RefusedRow>,
}

/// One row that could not be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedRow {
    /// Its line, or its place among the items of an API answer; from 1.
    pub line: u64,
    /// The report number it names, when it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_no: Option<String>,
    /// Stable name of the reason.
    pub code: &'static str,
    /// The reason in a sentence.
    pub reason: String,
}

impl ImportReport {
    pub(super) fn count(&mut self, line: u64, outcome: Outcome) {
        self.rows += 1;
        match outcome {
            Outcome::Accepted => self.accepted += 1,
            Outcome::Unchanged => self.unchanged += 1,
            Outcome::Changed => self.changed += 1,
            Outcome::Refused { report_no, refusal } => {
                self.refused += 1;
                self.cut_short |= matches!(refusal, RowRefusal::CutShort { .. });
                if self.refusals.len() < REFUSALS_LISTED_MAX {
                    let (code, reason) = (refusal.code(), refusal.to_string());
                    self.refusals.push(RefusedRow { line, report_no, code, reason });
                }
            }
        }
    }

    /// Outcomes arrive as they come; the reader wants lines in order.
    pub(super) fn finish(&mut self, took: Duration) {
        self.refusals.sort_by_key(|refused| refused.line);
        self.took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    }

    /// Writes it as JSON, with a line feed at the end.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_json(&self, mut to: impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut to, self)?;
        to.write_all(b"\n")?;
        to.flush()
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, accepted, unchanged, changed, refused, took_ms, .. } = self;
        writeln!(f, "{rows} rows in {took_ms} ms")?;
        writeln!(f, "  accepted  {accepted}\n  unchanged {unchanged}\n  changed   {changed}")?;
        writeln!(f, "  refused   {refused}")?;
        for row in self.refusals.iter().take(REFUSALS_SHOWN_MAX) {
            writeln!(f, "  line {}: {} ({})", row.line, row.reason, row.code)?;
        }
        let more = self.refusals.len().saturating_sub(REFUSALS_SHOWN_MAX);
        if 0 < more {
            writeln!(f, "  and {more} more; --json or --report lists them")?;
        }
        if self.cut_short {
            writeln!(f, "the file breaks off; what was before is imported")?;
        }
        Ok(())
    }
}

//! `checkout-api import-catalogue`: makes the catalogue be as a file says.
//!
//! Streams: memory is bounded by the longest accepted line, [`ROWS_WAITING_MAX`] rows and the ids of
//! the file, however long it is. Idempotent by report number: a second run changes nothing, a
//! changed row becomes exactly the matching events. A row that can't be taken is refused with its
//! line and a code and stops nobody else. A file that breaks off is taken as far as it goes, and the
//! report says so; only a file that can't be read at all, or a store that goes away, is an error
//! (exit code 3). Refused rows make the command exit with 1. After either, the same command is simply run
//! again.

mod ministry;
mod progress;
mod report;
mod row;
mod source;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use contracts::{Actor, ItemId, Metadata};
use domain::item::{Item, ItemCommand, ItemRefusal};
use domain::kernel::Refusal as _;
use event_store::{CommandContext, DispatchError, Executor, StoreError};
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use uuid::Uuid;

pub use self::progress::Progress;
pub use self::report::{ImportReport, RefusedRow};
use self::row::{Row, RowRefusal};
use self::source::{Numbered, Source};

/// Rows read ahead of the store: enough that it never waits for the file.
const ROWS_WAITING_MAX: usize = 256;
/// Commands under way at once: more than that only queue at the store's connections.
const IN_FLIGHT_MAX: usize = 16;

/// What to import, and how to tell about it.
#[derive(Debug, Clone, clap::Args)]
pub struct ImportArgs {
    /// The file; gzip is told by its content, not by its name
    pub file: PathBuf,
    /// What the file holds
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    pub format: Format,
    /// Derive a stable price and discount for rows without one; kept away from items that exist
    #[arg(long)]
    pub demo_prices: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Write the report as JSON to this file as well
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// What an import file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object a line
    Jsonl,
    /// Answers of the ministry's API, one after the other
    MfdsJson,
}

/// How rows are turned into commands.
#[derive(Debug, Clone, Copy)]
pub struct ImportOptions {
    /// What the file holds.
    pub format: Format,
    /// Whether rows without a price get a derived one.
    pub demo_prices: bool,
}

/// Why an import ended before its file did.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file can't be opened, or breaks off before its first row.
    #[error("read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store went away; what was taken so far stays.
    #[error("record an item")]
    Store(#[source] StoreError),
    /// The report can't be written; the import itself is done.
    #[error("write the report")]
    Report(#[source] io::Error),
    /// The reading thread died.
    #[error("wait for the reader")]
    Reader(#[source] tokio::task::JoinError),
}

/// Imports a file and tells about it as the arguments ask.
///
/// # Errors
/// [`ImportError`]; refused rows are none.
pub async fn run_command(
    executor: &Executor<Item>,
    args: &ImportArgs,
) -> Result<ImportReport, ImportError> {
    let options = ImportOptions { format: args.format, demo_prices: args.demo_prices };
    let progress = Progress::for_terminal();
    let report = run_import(executor, &args.file, options, &progress).await?;
    if let Some(path) = &args.report {
        File::create(path).and_then(|file| report.write_json(file)).map_err(ImportError::Report)?;
    }
    let mut answer = io::stdout().lock();
    let written =
        if args.json { report.write_json(&mut answer) } else { write!(answer, "{report}") };
    written.map_err(ImportError::Report)?;
    Ok(report)
}

/// Imports a file.
///
/// # Errors
/// [`ImportError`]; refused rows are none.
pub async fn run_import(
    executor: &Executor<Item>,
    path: &Path,
    options: ImportOptions,
    progress: &Progress,
) -> Result<ImportReport, ImportError> {
    let started = Instant::now();
    let unreadable = |source| ImportError::Unreadable { path: path.to_owned(), source };
    let source = Source::open(path).map_err(unreadable)?;
    progress.begin(source.size_bytes());
    let read_bytes = source.read_bytes();
    let (sender, receiver) = mpsc::channel(ROWS_WAITING_MAX);
    let reader = tokio::task::spawn_blocking(move || source.read(options, &sender));

    let metadata = Arc::new(Metadata {
        actor: Actor::System("import".to_owned()),
        correlation_id: format!("import-{}", Uuid::now_v7()),
        causation_id: None,
        idempotency_key: None,
    });
    let rows = stream::unfold(receiver, async |mut receiver: mpsc::Receiver<Numbered>| {
        receiver.recv().await.map(|row| (row, receiver))
    });
    let outcomes = rows.map(|row| import_row(executor, &metadata, row));
    let mut outcomes = std::pin::pin!(outcomes.buffer_unordered(IN_FLIGHT_MAX));
    let mut report = ImportReport::default();
    while let Some((line, outcome)) = outcomes.next().await {
        report.count(line, outcome.map_err(ImportError::Store)?);
        progress.show(report.rows, read_bytes.so_far());
    }
    reader.await.map_err(ImportError::Reader)?.map_err(unreadable)?;
    report.finish(started.elapsed());
    progress.end();
    Ok(report)
}

/// What became of one row.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A new item.
    Accepted,
    /// It was there just so.
    Unchanged,
    /// It was there otherwise.
    Changed,
    /// It could not be taken.
    Refused {
        /// The number it names, when it names one.
        report_no: Option<String>,
        /// Why.
        refusal: RowRefusal,
    },
}

async fn import_row(
    executor: &Executor<Item>,
    metadata: &Metadata,
    numbered: Numbered,
) -> (u64, Result<Outcome, StoreError>) {
    let outcome = match numbered.row {
        Ok(row) => record(executor, metadata, *row).await,
        Err(refusal) => Ok(Outcome::Refused { report_no: numbered.report_no, refusal }),
    };
    (numbered.line, outcome)
}

async fn record(
    executor: &Executor<Item>,
    metadata: &Metadata,
    row: Row,
) -> Result<Outcome, StoreError> {
    let id = ItemId::of(&row.report_no).uuid();
    let report_no = row.report_no.as_str().to_owned();
    let command = ItemCommand::ImportItem {
        report_no: row.report_no,
        details: row.details,
        terms: row.terms,
        keep_price: row.keep_price,
    };
    let refused = |refusal| Ok(Outcome::Refused { report_no: Some(report_no), refusal });
    match executor.dispatch(id, command, CommandContext::new(metadata.clone())).await {
        Ok(recorded) if recorded.events.is_empty() => Ok(Outcome::Unchanged),
        Ok(recorded) if recorded.version == count(&recorded.events) => Ok(Outcome::Accepted),
        Ok(_) => Ok(Outcome::Changed),
        Err(DispatchError::Refused(refusal)) => refused(rule(&refusal)),
        Err(DispatchError::Store(error)) => Err(error),
        Err(
            DispatchError::Conflict
            | DispatchError::Stale { .. }
            | DispatchError::ClaimTaken { .. }
            | DispatchError::KeyReused,
        ) => refused(RowRefusal::Conflict),
    }
}

fn count<T>(events: &[T]) -> u64 {
    u64::try_from(events.len()).unwrap_or(u64::MAX)
}

fn rule(refusal: &ItemRefusal) -> RowRefusal {
    RowRefusal::Rule { code: refusal.code(), sentence: refusal.to_string() }
}

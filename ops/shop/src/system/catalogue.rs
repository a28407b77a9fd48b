//! The catalogue that the shop opens with.

use std::path::Path;

use checkout_api::import::{Format, ImportOptions, ImportReport, Progress, run_import};
use domain::item::Item;
use event_store::{Executor, ExecutorOptions, PgEventStore, StoreSizes};
use service_kit::config::Secret;
use service_kit::pools::{self, PoolSettings};

use crate::ShopError;

/// The small catalogue that ships with the project; part of the program, so that the binary alone
/// can open a shop.
const SAMPLE: &str = include_str!("../../catalogue/sample.jsonl");
/// Where its file lies in the state directory while it is imported.
const SAMPLE_FILE: &str = "sample-catalogue.jsonl";
/// Refused rows that are told one by one; the rest as a number.
const REFUSALS_TOLD_MAX: usize = 10;

/// Imports `file`, or the small catalogue into a shop that has no item yet.
///
/// Prices are not in the data, so they are derived; items that have a price keep it.
pub(crate) async fn open_with(
    database_url: &Secret,
    file: Option<&Path>,
    state: &Path,
) -> Result<Option<ImportReport>, ShopError> {
    let sample = state.join(SAMPLE_FILE);
    let file = match file {
        Some(file) => file,
        None if has_items(database_url).await? => return Ok(None),
        None => {
            std::fs::write(&sample, SAMPLE)
                .map_err(|error| ShopError::part("write the small catalogue", &error))?;
            &sample
        }
    };
    let store = PgEventStore::open(database_url, StoreSizes::default())
        .map_err(|error| ShopError::part("catalogue", &error))?;
    // Every row is another item: remembering them would only cost memory.
    let options = ExecutorOptions { cache_entries: 0, ..ExecutorOptions::default() };
    let executor = Executor::<Item>::new(store, options);
    let options = ImportOptions { format: Format::Jsonl, demo_prices: true };
    let report = run_import(&executor, file, options, &Progress::for_terminal())
        .await
        .map_err(|error| ShopError::part("catalogue", &error))?;
    Ok(Some(report))
}

/// One line, and the first refused rows with line and reason.
pub(crate) fn told(report: &ImportReport) -> String {
    let mut text = format!(
        "catalogue: {} rows in {}.{:03} s: {} accepted, {} unchanged, {} changed, {} refused",
        report.rows,
        report.took_ms / 1000,
        report.took_ms % 1000,
        report.accepted,
        report.unchanged,
        report.changed,
        report.refused,
    );
    for row in report.refusals.iter().take(REFUSALS_TOLD_MAX) {
        text = format!("{text}\n  line {}: {} ({})", row.line, row.reason, row.code);
    }
    text
}

async fn has_items(database_url: &Secret) -> Result<bool, ShopError> {
    let failed = |error: &dyn std::error::Error| ShopError::part("catalogue", error);
    let pool = pools::postgres(database_url, &PoolSettings::named("shop"))
        .map_err(|error| failed(&error))?;
    let client = pool.get().await.map_err(|error| failed(&error))?;
    let row = client
        .query_one(include_str!("has_items.sql"), &[])
        .await
        .map_err(|error| failed(&error))?;
    row.try_get(0).map_err(|error| failed(&error))
}

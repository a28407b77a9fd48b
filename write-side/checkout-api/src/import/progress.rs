//! How far an import is: a bar on a terminal, a log line every so often elsewhere.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

/// Rows between two log lines: a few lines for the real catalogue.
const ROWS_PER_LOG_LINE: u64 = 5_000;

/// Where progress is shown.
#[derive(Debug)]
pub enum Progress {
    /// On a terminal: bytes of the file, as the number of rows isn't known.
    Bar(ProgressBar),
    /// In the log.
    Log,
    /// Nowhere.
    Silent,
}

impl Progress {
    /// A bar when the standard error is a terminal, log lines otherwise.
    pub fn for_terminal() -> Self {
        if std::io::stderr().is_terminal() {
            return Self::Bar(ProgressBar::hidden());
        }
        Self::Log
    }

    pub(super) fn begin(&self, size_bytes: u64) {
        if let Self::Bar(bar) = self {
            bar.set_length(size_bytes);
            let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {msg} rows");
            bar.set_style(style.unwrap_or_else(|_invalid| ProgressStyle::default_bar()));
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
    }

    pub(super) fn show(&self, rows: u64, read_bytes: u64) {
        match self {
            Self::Bar(bar) => {
                bar.set_position(read_bytes);
                if rows.is_multiple_of(100) {
                    bar.set_message(rows.to_string());
                }
            }
            Self::Log if rows.is_multiple_of(ROWS_PER_LOG_LINE) => {
                tracing::info!(rows, "importing");
            }
            Self::Log | Self::Silent => {}
        }
    }

    pub(super) fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

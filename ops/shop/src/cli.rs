//! What `shop` can be told on its command line.

use std::path::PathBuf;

use clap::Parser;

/// Runs the whole shop in one process: private PostgreSQL and Redis, a simulated KakaoPay, worker,
/// projector and both APIs. With `DATABASE_URL`, `REDIS_URL` or `KAKAOPAY_BASE_URL` set, those are
/// used instead of private ones. Ctrl-C stops everything cleanly.
#[derive(Debug, Clone, Parser)]
pub(crate) struct Cli {
    /// Drives the main job once, checks every step, and exits: 0 when all is well, 1 naming the
    /// step that failed. Logs go to a file.
    #[arg(long)]
    pub(crate) demo: bool,

    /// Confirms that nothing is real: with `DATABASE_URL` set, the secrets may be generated and the
    /// gateway may be simulated.
    #[arg(long)]
    pub(crate) simulate: bool,

    /// Catalogue to import at start: JSON lines, gzip accepted. Without it a small one that ships
    /// with the project is used.
    #[arg(long, value_name = "FILE")]
    pub(crate) catalogue: Option<PathBuf>,

    /// First of eleven consecutive ports; without it free ones are taken.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1024..=65000))]
    pub(crate) port_base: Option<u16>,

    /// Where to write a JSON object with all addresses once everything answers.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,

    /// Where data and generated secrets live; never inside the checkout. By default
    /// `$XDG_STATE_HOME/pillivery`, where that is unset `~/.local/state/pillivery` or for root
    /// `/var/lib/pillivery`, and for `--demo` a fresh folder that is removed afterwards.
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// Log as JSON lines instead of text.
    #[arg(long)]
    pub(crate) json_logs: bool,
}

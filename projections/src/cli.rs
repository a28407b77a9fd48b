//! What `projector` can be told on its command line, and what it answers.

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use service_kit::cli::{By, Confirmation, Rows, Unconfirmed};
use service_kit::shutdown::Shutdown;

use crate::config::ProjectorConfig;
use crate::error::ProjectionError;
use crate::parked::Retried;
use crate::rebuild::{NewlyParked, Progress, RebuildOptions};
use crate::status::VersionStatus;
use crate::switching::Switched;
use crate::{RunError, parked, rebuild, status, switching, verify};

/// Keeps the read models current, rebuilds them from the log, and compares them with it.
/// Configuration comes from the environment; `DATABASE_URL` is all that is required.
#[derive(Debug, Parser)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Follows the log until it is told to end.
    Run,
    /// Builds a projection again from the log beside the served version, and switches to it.
    ///
    /// The rows that were copied in are counted and a sample of them is read back; only --verify compares
    /// every row. Exits with 1 when a check finds a difference, or when the new version parks events that
    /// the served one does not. The new version then can't be served.
    Rebuild {
        /// The projection, for example `order_history`.
        name: String,
        /// Folds and counts, changes nothing.
        #[arg(long)]
        dry_run: bool,
        /// Leaves the new version ready, but not served.
        #[arg(long)]
        no_switch: bool,
        /// Compares the whole new version with a second replay before it is served.
        #[arg(long)]
        verify: bool,
        /// Serves the new version even if it parks events that the served one does not.
        #[arg(long)]
        allow_parked: bool,
        /// Cores that decode events; all when unset.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
        jobs: Option<u16>,
        #[command(flatten)]
        by: By,
    },
    /// Shows every version: state, position, lag, parked events, since when it is stuck, last error.
    Status {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compares the served version with a replay of the log; exits with 1 when they differ.
    Verify {
        /// The projection.
        name: String,
        /// Exits with 1 also when events are parked, which neither side shows.
        #[arg(long)]
        strict: bool,
    },
    /// Serves the newest complete version, or the one given; an older one by default never.
    Switch {
        /// The projection.
        name: String,
        /// The version, as `status` shows it.
        version: Option<i32>,
        #[command(flatten)]
        by: By,
    },
    /// Serves the version again that was served before; refuses when none was that is still complete.
    Rollback {
        /// The projection.
        name: String,
        #[command(flatten)]
        confirmation: Confirmation,
        #[command(flatten)]
        by: By,
    },
    /// Drops the versions that are not served. Refuses when one of them is newer than the served one.
    Retire {
        /// The projection.
        name: String,
        /// Drops newer ones too.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        confirmation: Confirmation,
        #[command(flatten)]
        by: By,
    },
    /// Events that could not be folded.
    Parked {
        #[command(subcommand)]
        command: ParkedCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ParkedCommand {
    /// Lists them, oldest first.
    List {
        /// Of this projection only.
        name: Option<String>,
        /// Those that were given up instead.
        #[arg(long)]
        given_up: bool,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Folds them again; exits with 1 when the database refuses the rows of an aggregate.
    Retry {
        /// The projection.
        name: String,
        #[command(flatten)]
        by: By,
    },
    /// Gives one up for ever, in later versions too; those behind it are folded by the next retry.
    Drop {
        /// The projection.
        name: String,
        /// The event's position, as listed.
        position: i64,
        #[command(flatten)]
        confirmation: Confirmation,
        #[command(flatten)]
        by: By,
    },
}

/// Why a command ended without doing what it was told.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The work failed.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    /// The process ended.
    #[error(transparent)]
    Run(#[from] RunError),
    /// It was not confirmed.
    #[error(transparent)]
    Unconfirmed(#[from] Unconfirmed),
    /// The answer can't be written.
    #[error("write the answer")]
    Write(#[from] io::Error),
    /// The answer has no JSON form.
    #[error("write the answer as JSON")]
    Json(#[from] serde_json::Error),
}

impl Cli {
    /// Whether it runs for long and logs, rather than answering a person.
    pub const fn is_service(&self) -> bool {
        matches!(self.command, Command::Run)
    }

    /// Does what it was told; answers go to `out`.
    ///
    /// # Errors
    /// [`CliError`].
    pub async fn execute(
        self,
        config: ProjectorConfig,
        shutdown: Shutdown,
        out: &mut (impl Write + Send),
    ) -> Result<ExitCode, CliError> {
        match self.command {
            Command::Run => crate::run(config, shutdown).await?,
            Command::Rebuild { name, dry_run, no_switch, verify, allow_parked, jobs, by } => {
                let newly_parked =
                    if allow_parked { NewlyParked::Allowed } else { NewlyParked::Refused };
                let mut options = RebuildOptions {
                    dry_run,
                    no_switch,
                    full_verify: verify,
                    newly_parked,
                    on_progress: progress_bar(),
                    ..RebuildOptions::default()
                };
                options.jobs = jobs.map_or(options.jobs, usize::from);
                let code = rebuild_and_answer(&config, &name, options, &shutdown, out).await?;
                if !dry_run && code == ExitCode::SUCCESS {
                    by.log("rebuild", &name);
                }
                return Ok(code);
            }
            Command::Status { json } => print_status(&status::status(&config).await?, json, out)?,
            Command::Verify { name, strict } => {
                let report = verify::verify(&config, &name).await?;
                writeln!(out, "{name}: {report}")?;
                if !report.is_equal() || (strict && 0 < report.parked) {
                    return Ok(ExitCode::FAILURE);
                }
            }
            Command::Switch { name, version, by } => {
                match switching::switch(&config, &name, version).await? {
                    Switched::Now(version) => {
                        writeln!(out, "{name}: version {version} is served")?;
                    }
                    Switched::Already(version) => {
                        writeln!(out, "{name}: version {version} is served already")?;
                    }
                }
                by.log("switch", &name);
            }
            Command::Rollback { name, confirmation, by } => {
                confirmation.require(&format!("{name}: shoppers see the version before again"))?;
                let version = switching::rollback(&config, &name).await?;
                writeln!(out, "{name}: version {version} is served again")?;
                by.log("rollback", &name);
            }
            Command::Retire { name, force, confirmation, by } => {
                confirmation
                    .require(&format!("{name}: versions that are not served are dropped"))?;
                let dropped = switching::retire(&config, &name, force).await?;
                writeln!(out, "{name}: dropped versions {dropped:?}")?;
                by.log("retire", &name);
            }
            Command::Parked { command } => return command.execute(&config, out).await,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl ParkedCommand {
    async fn execute(
        self,
        config: &ProjectorConfig,
        out: &mut (impl Write + Send),
    ) -> Result<ExitCode, CliError> {
        match self {
            Self::List { name, given_up, json } => {
                let events = if given_up {
                    parked::given_up(config, name.as_deref()).await?
                } else {
                    parked::parked(config, name.as_deref()).await?
                };
                if json {
                    write_json(&Rows { rows: &events }, out)?;
                    return Ok(ExitCode::SUCCESS);
                }
                for event in events {
                    let reason = event.error.as_deref().unwrap_or("behind another");
                    writeln!(
                        out,
                        "{} v{} {} {}/{} {}: {reason}",
                        event.name,
                        event.version,
                        event.position,
                        event.aggregate_type,
                        event.aggregate_id,
                        event.event_type,
                    )?;
                }
            }
            Self::Retry { name, by } => {
                let Retried { folded, left, refused } = parked::retry(config, &name).await?;
                by.log("retry_parked", &name);
                write!(out, "{name}: {folded} folded, {left} still parked")?;
                if 0 < refused {
                    writeln!(out, "; the database refuses the rows of {refused} aggregates")?;
                    return Ok(ExitCode::FAILURE);
                }
                writeln!(out)?;
            }
            Self::Drop { name, position, confirmation, by } => {
                confirmation.require(&format!("{name}: event {position} is given up for ever"))?;
                let dropped = parked::give_up(config, &name, position).await?;
                by.log("drop_parked", &format!("{name} {position}"));
                writeln!(out, "{name}: given up in {dropped} versions")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn rebuild_and_answer(
    config: &ProjectorConfig,
    name: &str,
    options: RebuildOptions,
    shutdown: &Shutdown,
    out: &mut (impl Write + Send),
) -> Result<ExitCode, CliError> {
    match rebuild::rebuild_with(config, name, options, shutdown).await {
        Ok(report) => writeln!(out, "{name}: {report}")?,
        // What a check found is an answer, as it is for `verify`.
        Err(error @ (ProjectionError::Unfaithful { .. } | ProjectionError::NewlyParked { .. })) => {
            writeln!(out, "{name}: {error}")?;
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn print_status(
    versions: &[VersionStatus],
    json: bool,
    out: &mut impl Write,
) -> Result<(), CliError> {
    if json {
        return write_json(&Rows { rows: versions }, out);
    }
    writeln!(
        out,
        "{:<18} {:>3} {:<9} {:>12} {:>12} {:>8} {:>6} {:>6} {:>8}  {:<20}  last error",
        "projection",
        "v",
        "state",
        "position",
        "head",
        "lag",
        "lag s",
        "parked",
        "given up",
        "stuck since"
    )?;
    for it in versions {
        writeln!(
            out,
            "{:<18} {:>3} {:<9} {:>12} {:>12} {:>8} {:>6} {:>6} {:>8}  {:<20}  {}",
            it.name,
            it.version,
            it.state,
            it.position.number(),
            it.head.number(),
            it.lag_events,
            it.lag_seconds,
            it.parked,
            it.given_up,
            it.stuck_since.map_or_else(|| "-".to_owned(), seconds),
            it.last_error.as_deref().unwrap_or("-"),
        )?;
    }
    Ok(())
}

/// Indented for a terminal, one line for a program.
fn write_json(value: &impl Serialize, out: &mut impl Write) -> Result<(), CliError> {
    let text = if io::stdout().is_terminal() {
        serde_json::to_string_pretty(value)?
    } else {
        serde_json::to_string(value)?
    };
    Ok(writeln!(out, "{text}")?)
}

/// An instant to the second, in UTC.
fn seconds(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A bar on standard error, invisible where that is no terminal.
fn progress_bar() -> Arc<dyn Fn(Progress) + Send + Sync> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = "{msg:12} [{bar:40}] {human_pos}/{human_len} {per_sec}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    Arc::new(move |progress: Progress| {
        if bar.message() != progress.step {
            bar.reset();
            bar.set_message(progress.step);
        }
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    })
}

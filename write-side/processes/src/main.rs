//! The `worker` process: `run` works until told to stop; everything else is for
//! operators.

use std::io::{self, Write};
use std::process::ExitCode;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand};
use contracts::Actor;
use operator::{By, Intervention, Operator, OperatorError, RowView};
use processes::WorkerConfig;
use processes::reconcile::Span;
use processes::reconcile::table::{self, days};
use service_kit::clock::{Clock, SystemClock};
use service_kit::config::{Settings, environment};
use service_kit::pools::{self, PoolSettings};
use service_kit::telemetry::LogFormat;
use service_kit::{shutdown, telemetry};
use uuid::Uuid;

mod lists;

/// Pillivery's background work: outbox relay, reactions, schedule.
#[derive(Debug, Parser)]
#[command(name = "worker", version, after_help = VARIABLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const VARIABLES: &str = "\
Variables: DATABASE_URL, KAKAOPAY_BASE_URL, KAKAOPAY_SECRET_KEY, PUBLIC_BASE_URL, RETURN_URL_KEY,
MASTER_KEY, DIGEST_PEPPER; optional: KAKAOPAY_CID_ONE_TIME[_SECRET], KAKAOPAY_CID_RECURRING[_SECRET],
WORKER_OPS_LISTEN, WORKER_DATABASE_CONNECTIONS, KAKAOPAY_CONNECT_TIMEOUT_MS, KAKAOPAY_CALL_TIMEOUT_MS,
KAKAOPAY_{CHECKOUT,CHARGE,LOOK_UP}_CALLS_{MAX,PER_SECOND,BURST}, RELAY_ROWS_MAX, RELAY_BACKGROUND_ROWS_MAX,
RELAY_POLL_MS,
RELAY_LEASE_MS, LOG_FORMAT, LOG_FILTER.
KAKAOPAY_*_CALLS_PER_SECOND (4000, 20, 100) hold for this process: with several workers, each gets a part.
`outbox`, `parked`, `differences`, `unresolved`, `refunds` and `missing-keys` need DATABASE_URL alone.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Works until told to stop (the default).
    Run,
    /// Looks at the outbox, or does something about a row.
    Outbox {
        #[command(subcommand)]
        command: OutboxCommand,
        /// Prints JSON.
        #[arg(long, global = true)]
        json: bool,
    },
    /// Compares approved payments with KakaoPay's books, ours | theirs; fails unless all agree.
    Reconcile {
        /// The first day, by Korean time.
        #[arg(long)]
        from: NaiveDate,
        /// The last day, included.
        #[arg(long)]
        to: NaiveDate,
        /// Prints a JSON object a payment, and one with the sums at the end.
        #[arg(long)]
        json: bool,
    },
    /// Lists differences from KakaoPay's books that are still open, as JSON.
    Differences {
        /// At most this many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Lists payments without an outcome, oldest first.
    Unresolved(List),
    /// Lists refunds that the shop owes, those that are due first: pending for over an hour, given up
    /// by the relay, or refused.
    Refunds(List),
    /// Lists recurring keys that were lost with their answer, oldest first.
    MissingKeys(List),
    /// Asks KakaoPay whether the settings would work; opens and moves nothing.
    Kakaopay {
        #[command(subcommand)]
        command: KakaopayCommand,
    },
    /// Looks at events that reactions set aside, or has one handled once more.
    Parked {
        #[command(subcommand)]
        command: ParkedCommand,
    },
}

#[derive(Debug, Args)]
struct List {
    /// At most this many.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum KakaopayCommand {
    /// Looks up a payment that cannot exist: tells a good key from a bad one.
    Check,
}

#[derive(Debug, Subcommand)]
enum ParkedCommand {
    /// Lists them as JSON, oldest first.
    List {
        /// At most this many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Has one handled once more.
    Retry {
        /// The reaction.
        reaction: String,
        /// The event's position.
        position: i64,
    },
}

#[derive(Debug, Subcommand)]
enum OutboxCommand {
    /// Lists rows, those that need somebody first.
    List {
        /// Only rows in this state.
        #[arg(long)]
        state: Option<String>,
        /// At most this many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Shows one row with what was sent and what came of it.
    Show {
        /// The row.
        id: Uuid,
    },
    /// Has the relay take a row up again; what may have been sent is looked up first.
    Retry {
        /// The row.
        id: Uuid,
    },
    /// Tells the order that no money moved. Only when that is certain.
    Resolve {
        /// The row.
        id: Uuid,
        /// Confirms that the gateway's own books were looked at.
        #[arg(long, required = true)]
        not_done: bool,
    },
    /// Has nothing done about a row until it is released.
    Hold {
        /// The row.
        id: Uuid,
    },
    /// Goes on with a held row.
    Release {
        /// The row.
        id: Uuid,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Cli::parse().command.unwrap_or(Command::Run);
    if !matches!(command, Command::Run) {
        telemetry::init_tool("worker");
    }
    let outcome = match command {
        Command::Run => return run().await,
        Command::Outbox { command, json } => outbox(command, json).await.map(|()| true),
        Command::Parked { command } => parked(command).await.map(|()| true),
        Command::Reconcile { from, to, json } => reconcile(days(from, to), json).await,
        Command::Differences { limit } => differences(limit).await.map(|()| true),
        Command::Unresolved(List { limit, json }) => {
            lists::unresolved(limit, json).await.map(|()| true)
        }
        Command::Refunds(List { limit, json }) => lists::refunds(limit, json).await.map(|()| true),
        Command::MissingKeys(List { limit, json }) => {
            lists::missing_keys(limit, json).await.map(|()| true)
        }
        Command::Kakaopay { command: KakaopayCommand::Check } => check().await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!(error = &*error as &dyn std::error::Error, "nothing was done");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> ExitCode {
    let config = match WorkerConfig::load(environment()) {
        Ok(config) => config,
        Err(error) => {
            telemetry::init("worker", LogFormat::Json);
            tracing::error!(%error, "the configuration cannot be used");
            return ExitCode::FAILURE;
        }
    };
    telemetry::init_filtered("worker", config.log_format, &config.log_filter);
    #[cfg(feature = "failpoints")]
    if let Some(script) = environment()("FAILPOINTS")
        && let Err(error) = processes::failpoints::configure(&script)
    {
        tracing::error!(error, "the failpoints cannot be set");
        return ExitCode::FAILURE;
    }
    let shutdown = match shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            tracing::error!(%error, "signals cannot be received");
            return ExitCode::FAILURE;
        }
    };
    match processes::run(config, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "worker ended");
            ExitCode::FAILURE
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn operator() -> Result<Operator, Failure> {
    let url = Settings::new(environment()).secret("DATABASE_URL")?;
    let settings = PoolSettings { size_max: 1, ..PoolSettings::named("worker-operator") };
    Ok(Operator::new(pools::postgres(&url, &settings)?))
}

/// Whether everything agrees.
async fn reconcile(span: Span, json: bool) -> Result<bool, Failure> {
    /// Payments between two lines of progress.
    const PROGRESS_STEP: u64 = 100;
    let config = WorkerConfig::load(environment())?;
    let reconciler = processes::reconciler(&config, shutdown::on_signals()?)?;
    reconciler.update_index().await?;
    let (mut out, mut done, mut written) = (io::stdout(), 0_u64, Ok(()));
    if !json {
        table::head(&mut out)?;
    }
    let compared = reconciler.compare(span, |compared| {
        done += 1;
        if done.is_multiple_of(PROGRESS_STEP) {
            // Nobody may be looking; the report is what counts.
            drop(writeln!(io::stderr(), "{done} payments compared"));
        }
        if written.is_ok() {
            written = if json {
                serde_json::to_writer(&mut out, compared)
                    .map_err(io::Error::from)
                    .and_then(|()| writeln!(out))
            } else {
                table::line(&mut out, compared)
            };
        }
    });
    let summary = compared.await?;
    written?;
    if json {
        writeln!(out, "{}", serde_json::to_string(&summary)?)?;
    } else {
        table::foot(&mut out, &summary)?;
    }
    Ok(summary.is_clean())
}

async fn differences(limit: u32) -> Result<(), Failure> {
    let open = operator()?.differences(limit).await?;
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&open)?)?;
    Ok(())
}

/// Whether every check was passed.
async fn check() -> Result<bool, Failure> {
    let steps = processes::check_kakaopay(&WorkerConfig::load(environment())?).await?;
    let mut out = io::stdout();
    for step in &steps {
        let mark = if step.is_ok { "ok" } else { "WRONG" };
        writeln!(out, "{mark:<6} {:<15} {}", step.name, step.found)?;
    }
    Ok(steps.iter().all(|step| step.is_ok))
}

async fn parked(command: ParkedCommand) -> Result<(), Failure> {
    match command {
        ParkedCommand::List { limit } => {
            let parked = operator()?.parked(limit).await?;
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&parked)?)?;
        }
        ParkedCommand::Retry { reaction, position } => {
            operator()?.retry_parked(&reaction, position).await?;
        }
    }
    Ok(())
}

async fn outbox(command: OutboxCommand, json: bool) -> Result<(), Failure> {
    let operator = operator()?;
    match command {
        OutboxCommand::List { state, limit } => {
            print(&operator.list(state.as_deref(), limit).await?, json)
        }
        OutboxCommand::Show { id } => {
            let shown = operator.show(id).await?.ok_or(OperatorError::NoSuchRow(id))?;
            // One row is only readable as a whole.
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&shown)?)?;
            Ok(())
        }
        OutboxCommand::Retry { id } => intervene(&operator, id, Intervention::Retry, json).await,
        OutboxCommand::Resolve { id, not_done: _ } => {
            let at = SystemClock.now();
            intervene(&operator, id, Intervention::ResolveAsNotDone { at }, json).await
        }
        OutboxCommand::Hold { id } => intervene(&operator, id, Intervention::Hold, json).await,
        OutboxCommand::Release { id } => {
            intervene(&operator, id, Intervention::Release, json).await
        }
    }
}

/// Does it and shows the row as it is then.
async fn intervene(
    operator: &Operator,
    id: Uuid,
    what: Intervention,
    json: bool,
) -> Result<(), Failure> {
    let actor = Actor::System("operator".to_owned());
    operator.intervene(id, what, &By { actor, request_id: Uuid::now_v7().to_string() }).await?;
    print(operator.show(id).await?.as_slice(), json)
}

fn print(rows: &[RowView], json: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(rows)?)?;
        return Ok(());
    }
    for row in rows {
        let error = row.last_error.as_deref().unwrap_or("-");
        writeln!(
            out,
            "{}  {:<9}  {:<15}  try {:<3} {}  {}",
            row.id, row.state, row.kind, row.attempt, row.stream, error
        )?;
    }
    Ok(())
}

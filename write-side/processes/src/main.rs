//! The `worker` process: `run` works until told to stop; everything else is for
//! operators.

use std::io::{self, Write};
use std::process::ExitCode;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand};
use operator::Operator;
use processes::reconcile::Span;
use processes::reconcile::table::{self, days};
use processes::{CheckVerdict, CheckedStep, VARIABLES, WorkerConfig};
use service_kit::cli::{self, By, Program};
use service_kit::config::{Settings, Table, shared};
use service_kit::pools::{self, PoolSettings};
use service_kit::{shutdown, telemetry};

mod lists;
mod outbox;

use lists::Failure;
use outbox::OutboxCommand;

/// Pillivery's background work: outbox relay, reactions, schedule. `outbox` (but for `resolve`),
/// `parked`, `differences`, `unresolved`, `refunds` and `missing-keys` need `DATABASE_URL` alone.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

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
        #[command(flatten)]
        by: By,
    },
    /// Compares approved payments with KakaoPay's books, ours | theirs; exits with 1 unless all agree.
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
    /// Lists differences from KakaoPay's books that are still open, oldest first.
    Differences(List),
    /// Lists payments without an outcome, oldest first.
    Unresolved(List),
    /// Lists refunds that the shop owes, those that are due first: pending for over an hour, given up
    /// by the relay, or refused.
    Refunds(List),
    /// Lists recurring keys that were lost with their answer, oldest first.
    MissingKeys(List),
    /// Asks KakaoPay whether the settings would work; opens and moves nothing. Exits with 1 when it
    /// refuses one of them, and with 3 when it did not answer.
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
    /// Lists them, oldest first.
    List(List),
    /// Has one handled once more.
    Retry {
        /// The reaction.
        reaction: String,
        /// The event's position.
        position: i64,
        #[command(flatten)]
        by: By,
    },
}

const PROGRAM: Program = Program {
    name: "worker",
    variables: &[VARIABLES],
    check: |lookup| WorkerConfig::load(lookup).map(drop),
};

/// What operators' lists and interventions read.
const DATABASE_VARIABLES: Table = &[shared::DATABASE_URL, shared::DATABASE_PLAINTEXT];

/// Why a command was not carried out.
enum Stopped {
    /// Said already; the process exits with this.
    Told(ExitCode),
    /// Not said yet.
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli: Cli = match PROGRAM.parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let command = cli.command.unwrap_or(Command::Run);
    if !matches!(command, Command::Run) {
        telemetry::init_tool(PROGRAM.name);
    }
    match carry_out(command).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(cli::ANSWER_IS_NO),
        Err(Stopped::Told(code)) => code,
        Err(Stopped::Failed(error)) => PROGRAM.failed(&*error),
    }
}

/// Whether the answer is yes.
async fn carry_out(command: Command) -> Result<bool, Stopped> {
    match command {
        Command::Run => run().await.map_err(Stopped::Told)?,
        Command::Outbox { command: OutboxCommand::Resolve { id, not_done: _ }, json, by } => {
            let reconciler = processes::reconciler(&configured()?, shutdown::on_signals()?)?;
            if let Some(refusal) = outbox::resolve(&reconciler, id, json, &by).await? {
                return Err(Stopped::Told(PROGRAM.answer_is_no(&refusal)));
            }
        }
        Command::Outbox { command, json, by } => {
            outbox::carry_out(&operator()?, command, json, &by).await?;
        }
        Command::Parked { command } => parked(command).await?,
        Command::Reconcile { from, to, json } => {
            if to < from {
                return Err(Stopped::Told(PROGRAM.wrong_use("--to is before --from")));
            }
            return reconcile(days(from, to), json).await;
        }
        Command::Differences(List { limit, json }) => {
            lists::differences(&operator()?, limit, json).await?;
        }
        Command::Unresolved(List { limit, json }) => {
            lists::unresolved(&operator()?, limit, json).await?;
        }
        Command::Refunds(List { limit, json }) => {
            lists::refunds(&operator()?, limit, json).await?;
        }
        Command::MissingKeys(List { limit, json }) => {
            lists::missing_keys(&operator()?, limit, json).await?;
        }
        Command::Kakaopay { command: KakaopayCommand::Check } => return check().await,
    }
    Ok(true)
}

async fn run() -> Result<(), ExitCode> {
    let config = PROGRAM.configuration(|lookup| WorkerConfig::load(lookup))?;
    telemetry::init_filtered(PROGRAM.name, config.log_format, &config.log_filter);
    #[cfg(feature = "failpoints")]
    if let Some(script) = service_kit::config::environment()("FAILPOINTS")
        && let Err(error) = processes::failpoints::configure(&script)
    {
        return Err(PROGRAM.wrong_use(&format!("FAILPOINTS: {error}")));
    }
    let shutdown = shutdown::on_signals().map_err(|error| PROGRAM.ended(&error))?;
    processes::run(config, shutdown).await.map_err(|error| PROGRAM.ended(&error))
}

fn configured() -> Result<WorkerConfig, Stopped> {
    PROGRAM.configuration(|lookup| WorkerConfig::load(lookup)).map_err(Stopped::Told)
}

fn operator() -> Result<Operator, Stopped> {
    let url = PROGRAM.configuration(|lookup| {
        Settings::of(DATABASE_VARIABLES, lookup)?.database_url(shared::DATABASE_URL.name)
    });
    let settings = PoolSettings { size_max: 1, ..PoolSettings::named("worker-operator") };
    Ok(Operator::new(pools::postgres(&url.map_err(Stopped::Told)?, &settings)?))
}

/// Whether everything agrees.
async fn reconcile(span: Span, json: bool) -> Result<bool, Stopped> {
    /// Payments between two lines of progress.
    const PROGRESS_STEP: u64 = 100;
    let reconciler = processes::reconciler(&configured()?, shutdown::on_signals()?)?;
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

/// Whether every check was passed. Where one was refused that is the answer, whatever else was not
/// answered.
async fn check() -> Result<bool, Stopped> {
    let steps = processes::check_kakaopay(&configured()?).await?;
    let mut out = io::stdout();
    for CheckedStep { name, verdict, found } in &steps {
        let mark = match verdict {
            CheckVerdict::Fine => "ok",
            CheckVerdict::Refused => "WRONG",
            CheckVerdict::Unanswered => "SILENT",
        };
        writeln!(out, "{mark:<6} {name:<15} {found}")?;
    }
    let is_any = |verdict| steps.iter().any(|step| step.verdict == verdict);
    if is_any(CheckVerdict::Unanswered) && !is_any(CheckVerdict::Refused) {
        let error =
            io::Error::other("KakaoPay did not answer, so nothing is known of the settings");
        return Err(Stopped::Told(PROGRAM.failed(&error)));
    }
    Ok(!is_any(CheckVerdict::Refused))
}

async fn parked(command: ParkedCommand) -> Result<(), Stopped> {
    match command {
        ParkedCommand::List(List { limit, json }) => {
            lists::parked(&operator()?, limit, json).await?;
        }
        ParkedCommand::Retry { reaction, position, by } => {
            operator()?.retry_parked(&reaction, position).await?;
            by.log("retry_parked", &format!("{reaction} {position}"));
            writeln!(io::stdout(), "{reaction}: event {position} is handled once more")?;
        }
    }
    Ok(())
}

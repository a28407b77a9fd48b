//! The outbox at a terminal: its rows, and what an operator does about one.

use std::io::{self, Write};

use clap::{Subcommand, ValueEnum};
use contracts::Actor;
use operator::{By, Intervention, Operator, OperatorError, RowView};
use processes::reconcile::{CONTRADICTED, NotDone, Reconciler};
use service_kit::cli;
use service_kit::clock::{Clock, SystemClock};
use uuid::Uuid;

use crate::lists::{Failure, print};

#[derive(Debug, Subcommand)]
pub(crate) enum OutboxCommand {
    /// Lists rows, those that need somebody first.
    List {
        /// Only rows in this state.
        #[arg(long, value_enum)]
        state: Option<RowState>,
        /// At most this many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Shows one row with what was sent and what came of it, as JSON.
    Show {
        /// The row.
        id: Uuid,
    },
    /// Has the relay take a row up again; what may have been sent is looked up first.
    Retry {
        /// The row.
        id: Uuid,
    },
    /// Reports to the order that no money moved; cannot be undone. KakaoPay is asked first: exits with 1,
    /// and changes nothing, where its answer is another one (outbox.contradicted) or none that can be
    /// relied on (outbox.unanswered). Reads the whole configuration of the worker.
    Resolve {
        /// The row.
        id: Uuid,
        /// Confirms that KakaoPay's merchant pages were looked at.
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

/// The states that are listed.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum RowState {
    /// To be sent for the first time.
    Ready,
    /// Leased by a worker.
    InFlight,
    /// Certainly nothing happened, or only the report is left.
    Waiting,
    /// The outcome is unknown: it is looked up first.
    Unknown,
    /// Given up: an operator has to find out.
    Dead,
    /// Left alone because an operator decided so.
    Held,
}

impl RowState {
    const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::InFlight => "in_flight",
            Self::Waiting => "waiting",
            Self::Unknown => "unknown",
            Self::Dead => "dead",
            Self::Held => "held",
        }
    }
}

/// Does everything but [`OutboxCommand::Resolve`]; an intervention is recorded for the operator of
/// this name.
pub(crate) async fn carry_out(
    operator: &Operator,
    command: OutboxCommand,
    json: bool,
    by: &cli::By,
) -> Result<(), Failure> {
    let (id, what) = match command {
        OutboxCommand::List { state, limit } => {
            let rows = operator.list(state.map(RowState::name), limit).await?;
            return print(&rows, limit, json, line);
        }
        OutboxCommand::Show { id } => {
            let shown = operator.show(id).await?.ok_or(OperatorError::NoSuchRow(id))?;
            cli::print_json(&shown)?;
            return Ok(());
        }
        OutboxCommand::Retry { id } => (id, Intervention::Retry),
        OutboxCommand::Resolve { id, not_done: _ } => {
            return Err(format!("row {id} is resolved through the gateway").into());
        }
        OutboxCommand::Hold { id } => (id, Intervention::Hold),
        OutboxCommand::Release { id } => (id, Intervention::Release),
    };
    operator.intervene(id, what, &on_record(by)).await?;
    print(operator.show(id).await?.as_slice(), u32::MAX, json, line)
}

/// Ends a row as not done once KakaoPay confirms it; else returns why not, with a stable code in front.
pub(crate) async fn resolve(
    reconciler: &Reconciler,
    id: Uuid,
    json: bool,
    by: &cli::By,
) -> Result<Option<String>, Failure> {
    let operator = Operator::new(reconciler.pool.clone());
    let (what, by) = (Intervention::ResolveAsNotDone { at: SystemClock.now() }, on_record(by));
    let resolved = match reconciler.look_up_not_done(id).await? {
        NotDone::Confirmed { state } => operator.intervene_from(&state, id, what, &by).await,
        NotDone::NothingToAsk => operator.intervene(id, what, &by).await,
        NotDone::Refused { code, why } => return Ok(Some(format!("{code}: {why}"))),
    };
    match resolved {
        Ok(()) => print(operator.show(id).await?.as_slice(), u32::MAX, json, line)?,
        Err(error @ OperatorError::Contradicted { .. }) => {
            return Ok(Some(format!("{CONTRADICTED}: {error}")));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(None)
}

fn on_record(by: &cli::By) -> By {
    let actor = Actor::System(format!("operator {}", by.operator()));
    By { actor, request_id: Uuid::now_v7().to_string() }
}

fn line(out: &mut dyn Write, row: &RowView) -> io::Result<()> {
    let error = row.last_error.as_deref().unwrap_or("-");
    writeln!(
        out,
        "{}  {:<9}  {:<15}  try {:<3} {}  {}",
        row.id, row.state, row.kind, row.attempt, row.stream, error
    )
}

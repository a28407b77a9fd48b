//! The outbox at a terminal: its rows, and what an operator does about one.

use std::io::{self, Write};

use clap::{Subcommand, ValueEnum};
use contracts::Actor;
use operator::{By, Intervention, Operator, OperatorError, RowView};
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
    /// Tells the order that no money moved. Only when that is certain: it cannot be undone.
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

/// Does it; an intervention is recorded for the operator of this name.
pub(crate) async fn carry_out(
    operator: &Operator,
    command: OutboxCommand,
    json: bool,
    name: Option<String>,
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
            (id, Intervention::ResolveAsNotDone { at: SystemClock.now() })
        }
        OutboxCommand::Hold { id } => (id, Intervention::Hold),
        OutboxCommand::Release { id } => (id, Intervention::Release),
    };
    let actor = Actor::System(format!("operator {}", cli::operator_name(name)));
    operator.intervene(id, what, &By { actor, request_id: Uuid::now_v7().to_string() }).await?;
    print(operator.show(id).await?.as_slice(), u32::MAX, json, line)
}

fn line(out: &mut dyn Write, row: &RowView) -> io::Result<()> {
    let error = row.last_error.as_deref().unwrap_or("-");
    writeln!(
        out,
        "{}  {:<9}  {:<15}  try {:<3} {}  {}",
        row.id, row.state, row.kind, row.attempt, row.stream, error
    )
}

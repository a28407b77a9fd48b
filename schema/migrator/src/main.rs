//! The `migrator` process: `migrator up` and `migrator status [--json]`.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use service_kit::cli::{self, Program, Rows};
use service_kit::config::{Settings, Table, shared};

const VARIABLES: Table = &[shared::DATABASE_URL, shared::DATABASE_PLAINTEXT];

const PROGRAM: Program = Program {
    name: "migrator",
    variables: &[VARIABLES],
    check: |lookup| Settings::of(VARIABLES, lookup).map(drop),
};

/// Brings the database to the schema this build expects.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Applies every migration that is missing.
    Up,
    /// Shows what is applied and what is pending; exits with 1 when something is. Changes nothing.
    Status {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) | Err(code) => code,
    }
}

async fn run() -> Result<ExitCode, ExitCode> {
    let Arguments { order } = PROGRAM.parse()?;
    let url = PROGRAM.configuration(|lookup| {
        Settings::of(VARIABLES, lookup)?.database_url(shared::DATABASE_URL.name)
    })?;
    service_kit::telemetry::init_tool(PROGRAM.name);
    carry_out(order, url.expose()).await.map_err(|error| PROGRAM.failed(&*error))
}

async fn carry_out(order: Order, url: &str) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut out = std::io::stdout();
    match order {
        Order::Up => {
            let report = migrator::up(url).await?;
            for name in &report.applied {
                writeln!(out, "applied {name}")?;
            }
            writeln!(out, "up to date")?;
            Ok(ExitCode::SUCCESS)
        }
        Order::Status { json } => {
            let migrator::Status { applied, pending } = migrator::status(url).await?;
            if json {
                let row =
                    |name: &String, state| serde_json::json!({ "name": name, "state": state });
                let applied = applied.iter().map(|name| row(name, "applied"));
                let pending = pending.iter().map(|name| row(name, "pending"));
                let rows: Vec<_> = applied.chain(pending).collect();
                cli::print_json(&Rows { rows: &rows })?;
            } else {
                for name in &applied {
                    writeln!(out, "applied {name}")?;
                }
                for name in &pending {
                    writeln!(out, "pending {name}")?;
                }
            }
            let is_current = pending.is_empty();
            Ok(if is_current { ExitCode::SUCCESS } else { ExitCode::from(cli::ANSWER_IS_NO) })
        }
    }
}

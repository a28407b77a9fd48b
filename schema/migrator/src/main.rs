//! The `migrator` process: `migrator up` and `migrator status [--json]`.
//!
//! Reads `DATABASE_URL`. Exit code 0: done; 1: failed; 2: `status` found pending migrations.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use service_kit::causes::with_causes;
use service_kit::config::{Settings, environment};

#[derive(Debug, Parser)]
#[command(name = "migrator", about = "Brings the database to the schema this build expects")]
struct Arguments {
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Applies every migration that is missing.
    Up,
    /// Shows what is applied and what is pending; changes nothing.
    Status {
        /// One JSON object instead of lines.
        #[arg(long)]
        json: bool,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    service_kit::telemetry::init_tool("migrator");
    match run(Arguments::parse().order).await {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("failed to: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(order: Order) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let url = Settings::new(environment()).secret("DATABASE_URL")?;
    let mut out = std::io::stdout().lock();
    match order {
        Order::Up => {
            let report = migrator::up(url.expose()).await?;
            for name in &report.applied {
                writeln!(out, "applied {name}")?;
            }
            writeln!(out, "up to date")?;
            Ok(ExitCode::SUCCESS)
        }
        Order::Status { json } => {
            let status = migrator::status(url.expose()).await?;
            if json {
                let object =
                    serde_json::json!({ "applied": status.applied, "pending": status.pending });
                writeln!(out, "{object}")?;
            } else {
                for name in &status.applied {
                    writeln!(out, "applied {name}")?;
                }
                for name in &status.pending {
                    writeln!(out, "pending {name}")?;
                }
            }
            Ok(if status.pending.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
        }
    }
}

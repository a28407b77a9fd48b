//! The `projector` process: configuration from the environment, commands from the command line.

use std::process::ExitCode;

use projections::cli::{Cli, CliError};
use projections::{ProjectorConfig, VARIABLES};
use service_kit::cli::Program;
use service_kit::{shutdown, telemetry};

const PROGRAM: Program = Program {
    name: "projector",
    variables: &[VARIABLES],
    check: |lookup| ProjectorConfig::load(lookup).map(drop),
};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) | Err(code) => code,
    }
}

async fn run() -> Result<ExitCode, ExitCode> {
    let cli: Cli = PROGRAM.parse()?;
    let config = PROGRAM.configuration(|lookup| ProjectorConfig::load(lookup))?;
    let is_service = cli.is_service();
    // Answers go to standard output, where logs would break them up: a command logs warnings only.
    if is_service {
        telemetry::init_filtered(PROGRAM.name, config.log_format, &config.log_filter);
    } else {
        telemetry::init_tool(PROGRAM.name);
    }
    let shutdown = shutdown::on_signals().map_err(|error| PROGRAM.failed(&error))?;
    let done = cli.execute(config, shutdown, &mut std::io::stdout()).await;
    done.map_err(|error| {
        if let CliError::Unconfirmed(unconfirmed) = error {
            return PROGRAM.wrong_use(&unconfirmed.to_string());
        }
        if is_service { PROGRAM.ended(&error) } else { PROGRAM.failed(&error) }
    })
}

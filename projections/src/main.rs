//! The `projector` process: configuration from the environment, commands from the command line.

use std::process::ExitCode;

use clap::Parser;
use projections::ProjectorConfig;
use projections::cli::Cli;
use service_kit::config::environment;
use service_kit::{shutdown, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = match ProjectorConfig::load(environment()) {
        Ok(config) => config,
        Err(error) => {
            telemetry::init_tool("projector");
            tracing::error!(%error, "the configuration cannot be used");
            return ExitCode::FAILURE;
        }
    };
    // Answers go to standard output, where logs would break them up: a command logs warnings only.
    if cli.is_service() {
        telemetry::init_filtered("projector", config.log_format, &config.log_filter);
    } else {
        telemetry::init_tool("projector");
    }
    let shutdown = match shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            tracing::error!(%error, "signals cannot be received");
            return ExitCode::FAILURE;
        }
    };
    match cli.execute(config, shutdown, &mut std::io::stdout()).await {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "projector ended");
            ExitCode::FAILURE
        }
    }
}

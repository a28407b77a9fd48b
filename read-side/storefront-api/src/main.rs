//! The `storefront-api` process: configuration from the environment, then [`storefront_api::run`].

use std::process::ExitCode;

use clap::Parser;
use service_kit::cli::Program;
use service_kit::{shutdown, telemetry};
use storefront_api::{StorefrontConfig, VARIABLES};

/// The query API of the shop. Answers requests until SIGINT or SIGTERM.
#[derive(Debug, Parser)]
struct Cli {}

const PROGRAM: Program = Program {
    name: "storefront-api",
    variables: &[VARIABLES],
    check: |lookup| StorefrontConfig::load(lookup).map(drop),
};

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

async fn serve() -> Result<(), ExitCode> {
    let Cli {} = PROGRAM.parse()?;
    let config = PROGRAM.configuration(|lookup| StorefrontConfig::load(lookup))?;
    telemetry::init_filtered(PROGRAM.name, config.log_format, &config.log_filter);
    let shutdown = shutdown::on_signals().map_err(|error| PROGRAM.ended(&error))?;
    storefront_api::run(config, shutdown).await.map_err(|error| PROGRAM.ended(&error))
}

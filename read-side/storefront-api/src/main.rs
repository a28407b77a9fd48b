//! The `storefront-api` process: configuration from the environment, then [`storefront_api::run`].

use std::process::ExitCode;

use service_kit::config::environment;
use service_kit::{shutdown, telemetry};
use storefront_api::StorefrontConfig;

#[tokio::main]
async fn main() -> ExitCode {
    let config = match StorefrontConfig::load(environment()) {
        Ok(config) => config,
        Err(error) => {
            telemetry::init("storefront-api", telemetry::LogFormat::Json);
            tracing::error!(%error, "the configuration cannot be used");
            return ExitCode::FAILURE;
        }
    };
    telemetry::init_filtered("storefront-api", config.log_format, &config.log_filter);
    let shutdown = match shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            tracing::error!(%error, "signals cannot be received");
            return ExitCode::FAILURE;
        }
    };
    match storefront_api::run(config, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "storefront-api ended");
            ExitCode::FAILURE
        }
    }
}

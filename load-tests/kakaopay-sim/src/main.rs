//! The `kakaopay-sim` process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Parser;
use kakaopay_sim::{Latency, PayAction, SimConfig};
use service_kit::config::Secret;
use service_kit::{shutdown, telemetry};
use url::Url;

/// KakaoPay with a memory, a pay page and a fault script. No money moves.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:9900")]
    listen: SocketAddr,
    /// The address shoppers reach it under, when that is another.
    #[arg(long)]
    public_url: Option<Url>,
    /// The key that callers must send; any when left out.
    #[arg(long)]
    secret_key: Option<Secret>,
    /// Makes ids and draws repeatable.
    #[arg(long)]
    seed: Option<u64>,
    /// How long every call takes: `50`, or `50-200` for an even distribution.
    #[arg(long, default_value = "0")]
    latency_ms: LatencyArgument,
    /// Keeps payments and recurring keys over a restart.
    #[arg(long)]
    state_file: Option<PathBuf>,
    /// Presses a button of the pay page as soon as it is opened: approve, cancel or fail.
    #[arg(long)]
    auto_pay: Option<PayAction>,
}

#[derive(Debug, Clone, Copy)]
struct LatencyArgument(Latency);

impl FromStr for LatencyArgument {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        Ok(Self(Latency { min_ms: min.parse()?, max_ms: max.parse()? }))
    }
}

impl Arguments {
    fn into_config(self) -> SimConfig {
        SimConfig {
            listen: self.listen,
            public_url: self.public_url,
            secret_key: self.secret_key,
            seed: self.seed,
            latency: self.latency_ms.0,
            state_file: self.state_file,
            auto_pay: self.auto_pay,
            ..SimConfig::default()
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let config = Arguments::parse().into_config();
    telemetry::init("kakaopay-sim", telemetry::LogFormat::Text);
    let shutdown = match shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            tracing::error!(%error, "failed to listen for signals");
            return ExitCode::FAILURE;
        }
    };
    match kakaopay_sim::run(config, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "failed to simulate KakaoPay");
            ExitCode::FAILURE
        }
    }
}

//! The `kakaopay-sim` process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Parser;
use kakaopay_sim::{Latency, PayAction, PendingWord, SimConfig, SimSettings, UnknownStatus};
use service_kit::cli::Program;
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
    #[command(flatten)]
    assumed: Assumed,
}

/// What is assumed of KakaoPay, as `PUT /__sim/settings` can change it later.
#[derive(Debug, clap::Args)]
struct Assumed {
    /// Ignores `cancel_available_amount` instead of refusing a stale one with -710.
    #[arg(long)]
    no_guard: bool,
    /// Refuses a cancellation whose tax exceeds the tax that is left (-722).
    #[arg(long)]
    enforce_remaining_vat: bool,
    /// Look-ups show the state of so many milliseconds ago.
    #[arg(long, default_value_t = 0)]
    stale_look_up_ms: u64,
    /// A key's status shows the `last_approved_at` of so many milliseconds ago.
    #[arg(long, default_value_t = 0)]
    last_approved_at_lag_ms: u64,
    /// Fields that answers lack: `canceled_amount,amount.vat`.
    #[arg(long, value_delimiter = ',')]
    omit: Vec<String>,
    /// The word shown for every pending payment, such as `SEND_TMS`.
    #[arg(long, value_parser = pending_word)]
    pending_word: Option<PendingWord>,
    /// An undocumented word shown for a while after each change of a payment.
    #[arg(long, requires = "unknown_status_ms")]
    unknown_status: Option<String>,
    /// How long it is shown, in milliseconds.
    #[arg(long, requires = "unknown_status")]
    unknown_status_ms: Option<u64>,
}

impl Assumed {
    fn into_settings(self) -> SimSettings {
        let unknown = self.unknown_status.zip(self.unknown_status_ms);
        SimSettings {
            guard_enforced: !self.no_guard,
            remaining_vat_enforced: self.enforce_remaining_vat,
            stale_look_up_ms: self.stale_look_up_ms,
            last_approved_at_lag_ms: self.last_approved_at_lag_ms,
            omit: self.omit,
            pending_word: self.pending_word,
            unknown_status: unknown.map(|(word, for_ms)| UnknownStatus { word, for_ms }),
        }
    }
}

/// Reads one of KakaoPay's words.
fn pending_word(text: &str) -> Result<PendingWord, serde_json::Error> {
    serde_json::from_value(text.into())
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
            settings: self.assumed.into_settings(),
            ..SimConfig::default()
        }
    }
}

/// Told everything by its options: `check-config` behind them checks those.
const PROGRAM: Program =
    Program { name: "kakaopay-sim", variables: &[], check: |_environment| Ok(()) };

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Arguments = match PROGRAM.parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let config = arguments.into_config();
    telemetry::init("kakaopay-sim", telemetry::LogFormat::Text);
    let shutdown = match shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            tracing::error!(%error, "failed to listen for signals");
            return ExitCode::from(service_kit::cli::FAILED);
        }
    };
    match kakaopay_sim::run(config, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "failed to simulate KakaoPay");
            ExitCode::from(service_kit::cli::FAILED)
        }
    }
}

//! The `bench` process: `bench NAME [--rounds N] [--seconds N]`. See the crate's header.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "bench", version = service_kit::build::VERSION_AND_COMMIT)]
#[command(about = "Side-by-side measurements")]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Commands per second: ours cold and warm, postgres-es, and pgbench calling `append_events_after`.
    Append(bench::append::Arguments),
    /// Added time of a checkout's approval over the gateway's own, at 100 and 2,000 shoppers.
    Approve(bench::approve::Arguments),
    /// Failures that shoppers notice when a fifth of the calls fails, and an open breaker's speed.
    Breaker(bench::breaker::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().bench {
        Bench::Append(arguments) => bench::append::run(arguments).await,
        Bench::Approve(arguments) => bench::approve::run(arguments).await,
        Bench::Breaker(arguments) => bench::breaker::run(arguments).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            bench::report::line(&format!("failed to {error}"));
            ExitCode::FAILURE
        }
    }
}

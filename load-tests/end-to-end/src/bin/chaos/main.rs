//! `chaos`: shops concurrently while the gateway misbehaves and processes are killed, then holds our
//! books against the gateway's, won by won, and every read model against a replay of the log.
//!
//! The processes are the real ones: this program executes itself once per role, so that `kill -9`
//! hits two workers, command API, storefront and projector each in a process of its own, on a
//! private PostgreSQL and Redis. The simulated KakaoPay lives in the parent: nothing is ever killed that
//! knows what was really charged.
//!
//! One seed draws everything that is drawn: who orders what, which request is followed by which
//! kill, and which call of which operation goes wrong how ([`schedule`]). What stays to chance is
//! the order in which things happen at once. The last line of standard output is the verdict as
//! JSON; the exit code is 0 only when nothing was lost, doubled, promised in vain, unresolved, different or leaked, and enough
//! was paid.

mod audit;
mod books;
mod catalogue;
mod client;
mod clock;
mod demolition;
mod fleet;
mod intents;
mod leaks;
mod paying;
mod quiet;
mod role;
mod run;
mod schedule;
mod settle;
mod shopper;
mod verdict;
mod wiretap;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use service_kit::causes::with_causes;

use crate::role::Role;
use crate::schedule::Outages;

/// Whatever ends a run; the causes say where.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The first argument of a process that plays a role.
const ROLE: &str = "role";

/// Runs the real processes under faults and kills, then audits the books.
#[derive(Debug, Clone, Parser)]
#[command(name = "chaos", version = service_kit::build::VERSION_AND_COMMIT)]
pub(crate) struct Arguments {
    /// Orders to place.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) orders: u32,

    /// Processes to kill while shopping goes on.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) kills: u32,

    /// Draws the orders, the kills and the faults.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// A fault script of kakaopay-sim instead of the built-in mix.
    #[arg(long, value_name = "FILE")]
    pub(crate) faults: Option<PathBuf>,

    /// Outages of PostgreSQL, Redis and the gateway; short for 300 orders and more when left out.
    #[arg(long, value_enum)]
    pub(crate) outages: Option<Outages>,

    /// Shoppers at once.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) shoppers: u32,

    /// Longest wait for everything to settle after the last order, in seconds.
    #[arg(long, default_value_t = 240, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) quiet_seconds: u64,

    /// Keeps logs and data in this folder instead of removing them.
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,

    /// What the processes log, for example `debug`; their usual filter when left out.
    #[arg(long, value_name = "FILTER")]
    pub(crate) log_filter: Option<String>,

    /// Prints the drawn schedule and ends.
    #[arg(long)]
    pub(crate) plan: bool,

    /// Prints the verdict alone, without progress.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Orders from which on a run has outages by itself.
const ORDERS_WITH_OUTAGES: u32 = 300;

impl Arguments {
    /// The outages of the run.
    pub(crate) fn outages(&self) -> Outages {
        let is_long = ORDERS_WITH_OUTAGES <= self.orders;
        self.outages.unwrap_or(if is_long { Outages::Short } else { Outages::None })
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(ROLE) {
        return match arguments.next().and_then(|name| name.parse::<Role>().ok()) {
            Some(role) => role::play(role),
            None => ExitCode::FAILURE,
        };
    }
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(run::run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failed(&*error),
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a program goes to standard error")]
fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("chaos: {}", with_causes(error));
    ExitCode::FAILURE
}

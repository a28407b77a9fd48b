//! One of the shop's processes, played by this program: the same `run` as its own binary calls.
//!
//! A process ends with its parent: the parent holds the other end of its standard input and never
//! writes, so that the end of input is the parent's death.

use std::io::Read as _;
use std::process::ExitCode;
use std::str::FromStr;

use checkout_api::CheckoutConfig;
use processes::WorkerConfig;
use projections::ProjectorConfig;
use serde::Serialize;
use service_kit::config::environment;
use service_kit::shutdown;
use service_kit::telemetry::{self, LogFormat};
use storefront_api::StorefrontConfig;

use crate::Failure;

/// Names the log filter of a process; part of no real process's configuration.
pub(crate) const LOG_FILTER: &str = "CHAOS_LOG_FILTER";

/// Which process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(crate) enum Role {
    /// Outbox relay, reactions, schedule.
    Worker,
    /// The same once more: leases and fences matter between the two.
    SecondWorker,
    /// The command API.
    Checkout,
    /// The query API.
    Storefront,
    /// The read models.
    Projector,
}

impl Role {
    /// All of them, in the order in which they are started.
    pub(crate) const ALL: [Self; 5] =
        [Self::Projector, Self::Worker, Self::SecondWorker, Self::Checkout, Self::Storefront];

    /// Its name: argument, log file and label.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::SecondWorker => "worker-2",
            Self::Checkout => "checkout-api",
            Self::Storefront => "storefront-api",
            Self::Projector => "projector",
        }
    }
}

/// None of them.
#[derive(Debug)]
pub(crate) struct NoRole;

impl FromStr for Role {
    type Err = NoRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(NoRole)
    }
}

/// Runs the process until it is told to stop, killed or left alone.
pub(crate) fn play(role: Role) -> ExitCode {
    let filter = environment()(LOG_FILTER).and_then(|text| text.parse().ok()).unwrap_or_default();
    telemetry::init_filtered(role.name(), LogFormat::Json, &filter);
    std::thread::spawn(end_with_parent);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ended(&error),
    };
    match runtime.block_on(work(role)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ended(&*error),
    }
}

async fn work(role: Role) -> Result<(), Failure> {
    let shutdown = shutdown::on_signals()?;
    match role {
        Role::Worker | Role::SecondWorker => {
            processes::run(WorkerConfig::load(environment())?, shutdown).await?;
        }
        Role::Checkout => checkout_api::run(CheckoutConfig::load(environment())?, shutdown).await?,
        Role::Storefront => {
            storefront_api::run(StorefrontConfig::load(environment())?, shutdown).await?;
        }
        Role::Projector => {
            projections::run(ProjectorConfig::load(environment())?, shutdown).await?;
        }
    }
    Ok(())
}

fn ended(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    tracing::error!(error, "the process ended");
    ExitCode::FAILURE
}

fn end_with_parent() {
    let mut nothing = [0_u8; 1];
    // Nobody writes: a read that returns means that the parent is gone.
    drop(std::io::stdin().read(&mut nothing));
    std::process::exit(1);
}

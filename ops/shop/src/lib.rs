//! Everything in one process: the embedded default, and the demo that drives it.
//!
//! A newcomer starts the whole shop with one command and no configuration; a test starts it with
//! services of its own and kills it. It adds nothing of its own to the parts: each gets the same
//! settings its own binary would read from the environment, and runs until told to stop.

mod cli;
pub mod demo;
mod ports;
pub mod ready;
mod services;
mod state;
mod system;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use service_kit::config::Secret;
use service_kit::telemetry::{self, LogFormat};
use service_kit::{config, shutdown};

use crate::cli::Cli;
use crate::demo::{DemoError, Failure};
use crate::ports::Ports;
use crate::state::{StateDir, StateError};
use crate::system::System;

/// Why the shop did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// The state directory cannot be used.
    #[error("prepare the state directory")]
    State(#[from] StateError),
    /// No free port.
    #[error("find free ports")]
    Ports(#[source] std::io::Error),
    /// A private service did not start.
    #[error("start a private service")]
    Service(#[from] testkit::ServiceError),
    /// The simulated KakaoPay did not start.
    #[error("start the simulated KakaoPay")]
    Simulator(#[from] kakaopay_sim::SimError),
    /// A part could not be prepared or ended early.
    #[error("{part}: {told}")]
    Part {
        /// Which part.
        part: &'static str,
        /// What it said, with its causes.
        told: String,
    },
    /// The demo stopped at a step.
    #[error("the demo stopped")]
    Demo(#[from] DemoError),
    /// Signals cannot be waited for.
    #[error("listen for signals")]
    Signals(#[source] std::io::Error),
}

impl ShopError {
    pub(crate) fn part(part: &'static str, error: &dyn std::error::Error) -> Self {
        Self::Part { part, told: Failure::of(error).to_string() }
    }
}

/// What the process was given by whoever started it: read once, in `main`.
#[derive(Clone, Default)]
pub(crate) struct Environment(HashMap<String, String>);

impl Environment {
    fn read() -> Self {
        Self(std::env::vars().collect())
    }

    pub(crate) fn plain(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (String, String)> {
        let set = self.0.iter().filter(|(_, value)| !value.is_empty());
        set.map(|(name, value)| (name.clone(), value.clone()))
    }

    pub(crate) fn secret(&self, name: &str) -> Option<Secret> {
        self.plain(name).map(Secret::new)
    }
}

/// The whole program: reads arguments and environment, runs, and turns the outcome into an exit
/// code: 0 when all went well, 1 otherwise, with one line on standard error that says why.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let environment = Environment::read();
    let format = if cli.json_logs { LogFormat::Json } else { LogFormat::Text };
    telemetry::init("shop", format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tell(&error),
    };
    match runtime.block_on(run(cli, environment)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => tell(&error),
    }
}

async fn run(cli: Cli, environment: Environment) -> Result<(), ShopError> {
    let state = open_state(&cli, &environment)?;
    let ports = Ports::plan(cli.port_base).map_err(ShopError::Ports)?;
    let asked_to_stop = shutdown::on_signals().map_err(ShopError::Signals)?;
    let system = System::start(&cli, &environment, &state, ports).await?;
    let outcome = if cli.demo {
        system.demo(&asked_to_stop).await
    } else {
        system.greet();
        system.wait(&asked_to_stop).await
    };
    system.stop().await;
    outcome
}

/// The demo begins with nothing, so it gets a folder of its own unless one is named.
fn open_state(cli: &Cli, environment: &Environment) -> Result<StateDir, StateError> {
    if let Some(path) = &cli.state_dir {
        return StateDir::open(path.clone());
    }
    if cli.demo {
        return StateDir::temporary();
    }
    let home = || environment.plain("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    // The private PostgreSQL of root runs under another account, which cannot enter root's home.
    let base = environment.plain("XDG_STATE_HOME").map(PathBuf::from).or_else(|| {
        let runs_as_root = environment.plain("HOME").is_some_and(|home| home == "/root");
        if runs_as_root { Some(PathBuf::from("/var/lib")) } else { home() }
    });
    StateDir::open(base.ok_or(StateError::Nowhere)?.join("pillivery"))
}

#[expect(clippy::print_stderr, reason = "the last word of a program goes to standard error")]
fn tell(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("shop: {}", Failure::of(error));
    ExitCode::FAILURE
}

/// Names the part whose setting cannot be used.
pub(crate) fn config_error(part: &'static str) -> impl Fn(config::ConfigError) -> ShopError {
    move |error| ShopError::part(part, &error)
}

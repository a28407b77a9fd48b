//! Everything in one process: the embedded default, and the demo that drives it.
//!
//! A newcomer starts the whole shop with one command and no configuration; a test starts it with
//! services of its own and kills it. It adds nothing of its own to the parts: each gets the same
//! settings its own binary would read from the environment, and runs until told to stop.

mod cli;
pub mod demo;
mod front;
mod outside;
mod ports;
pub mod ready;
mod services;
mod state;
mod system;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use service_kit::cli::{ANSWER_IS_NO, Program};
use service_kit::config::{self, Settings, shared};
use service_kit::shutdown;
use service_kit::telemetry::{self, LogFilter, LogFormat};

use crate::cli::Cli;
use crate::demo::{DemoError, Failure};
use crate::ports::Ports;
use crate::services::Outside;
use crate::state::{StateDir, StateError};
use crate::system::System;

/// Why the shop did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// The state directory cannot be used.
    #[error("prepare the state directory")]
    State(#[from] StateError),
    /// The ready file of an earlier start cannot be removed.
    #[error("remove the ready file {path}")]
    ReadyFile {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
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

    /// What `lookup` knows of the variables of the shop and its parts.
    fn of(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let names = outside::ALL.iter().flat_map(|table| table.iter());
        let names = names.flat_map(|it| [it.name.to_owned(), format!("{}_FILE", it.name)]);
        Self(names.filter_map(|name| lookup(&name).map(|value| (name, value))).collect())
    }

    /// A secret, itself or as a file; `None` also when its file cannot be read, which the part that
    /// needs it reports.
    pub(crate) fn secret(&self, name: &str) -> Option<String> {
        let in_file = || {
            let path = self.plain(&format!("{name}_FILE"))?;
            fs::read_to_string(path.trim()).ok().map(|text| text.trim().to_owned())
        };
        self.plain(name).or_else(in_file)
    }

    pub(crate) fn plain(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (String, String)> {
        let set = self.0.iter().filter(|(_, value)| !value.is_empty());
        set.map(|(name, value)| (name.clone(), value.clone()))
    }
}

const PROGRAM: Program = Program {
    name: "shop",
    variables: outside::ALL,
    check: |lookup| {
        let is_simulated = std::env::args().any(|argument| argument == "--simulate");
        outside::check(lookup, is_simulated).map(drop)
    },
};

/// The whole program: reads arguments and environment, runs, and turns the outcome into an exit
/// code, with one line on standard error that says why when it is not 0.
pub fn main() -> ExitCode {
    let cli: Cli = match PROGRAM.parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let outside = match PROGRAM.configuration(|lookup| outside::check(lookup, cli.simulate)) {
        Ok(outside) => outside,
        Err(code) => return code,
    };
    let filter = PROGRAM.configuration(|lookup| {
        Settings::new(lookup).parsed(shared::LOG_FILTER.name, LogFilter::default())
    });
    let logging =
        filter.and_then(|filter| log(&cli, &filter).map_err(|error| PROGRAM.failed(&error)));
    if let Err(code) = logging {
        return code;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return PROGRAM.failed(&error),
    };
    match runtime.block_on(run(cli, Environment::read(), outside)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ ShopError::Demo(_)) => {
            PROGRAM.failed(&error);
            ExitCode::from(ANSWER_IS_NO)
        }
        Err(error) => PROGRAM.failed(&error),
    }
}

/// The demo's steps are all that stands on the terminal: its logs go to a file.
fn log(cli: &Cli, filter: &LogFilter) -> io::Result<()> {
    let format = if cli.json_logs { LogFormat::Json } else { LogFormat::Text };
    if !cli.demo {
        telemetry::init_filtered(PROGRAM.name, format, filter);
        return Ok(());
    }
    let name = format!("pillivery-demo-{:016x}.log", rand::random::<u64>());
    let path = std::env::temp_dir().join(name);
    telemetry::init_file(PROGRAM.name, format, filter, fs::File::create_new(&path)?);
    demo::say(&format!("The logs of this demo: {}", path.display()));
    Ok(())
}

async fn run(cli: Cli, environment: Environment, outside: Outside) -> Result<(), ShopError> {
    if let Some(path) = &cli.ready_file {
        remove_stale(path)?;
    }
    let state = open_state(&cli, &environment)?;
    let ports = Ports::plan(cli.port_base).map_err(ShopError::Ports)?;
    let asked_to_stop = shutdown::on_signals().map_err(ShopError::Signals)?;
    let starting = System::start(&cli, &environment, outside, &state, ports);
    let system = tokio::select! {
        started = Box::pin(starting) => started?,
        // What was started by then ends when it is dropped.
        () = asked_to_stop.requested() => return Ok(()),
    };
    let outcome = if cli.demo {
        system.demo(&asked_to_stop).await
    } else {
        system.greet();
        system.wait(&asked_to_stop).await
    };
    if let Some(path) = &cli.ready_file {
        drop(fs::remove_file(path));
    }
    system.stop().await;
    outcome
}

/// A script that waits for the file would read an earlier start's addresses.
fn remove_stale(path: &Path) -> Result<(), ShopError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(ShopError::ReadyFile { path: path.to_owned(), source })
        }
        Ok(()) | Err(_) => match path.parent() {
            // A folder that is not there is found now and not after everything has started.
            Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
                let source = io::ErrorKind::NotADirectory.into();
                Err(ShopError::ReadyFile { path: path.to_owned(), source })
            }
            _ => Ok(()),
        },
    }
}

/// The demo begins with nothing, so it gets a folder of its own unless one is named.
fn open_state(cli: &Cli, environment: &Environment) -> Result<StateDir, StateError> {
    if let Some(path) = &cli.state_dir {
        return StateDir::open(path.clone());
    }
    if cli.demo {
        return StateDir::temporary();
    }
    StateDir::open(default_state(environment).ok_or(StateError::Nowhere)?)
}

/// As the help of `--state-dir` says.
fn default_state(environment: &Environment) -> Option<PathBuf> {
    let home = || environment.plain("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    // The private PostgreSQL of root runs under another account, which cannot enter root's home.
    let base = environment.plain("XDG_STATE_HOME").map(PathBuf::from).or_else(|| {
        let runs_as_root = environment.plain("HOME").is_some_and(|home| home == "/root");
        if runs_as_root { Some(PathBuf::from("/var/lib")) } else { home() }
    });
    Some(base?.join("pillivery"))
}

/// Names the part whose setting cannot be used.
pub(crate) fn config_error(part: &'static str) -> impl Fn(config::ConfigError) -> ShopError {
    move |error| ShopError::part(part, &error)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// For root it named a folder that was never used.
    #[test]
    fn the_help_names_the_state_directory_that_is_used() {
        let default = |set: &[(&str, &str)]| {
            let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            default_state(&Environment(set.collect()))
        };
        let expected = [
            ("$XDG_STATE_HOME/pillivery", vec![("XDG_STATE_HOME", "/x"), ("HOME", "/root")], "/x"),
            ("/var/lib/pillivery", vec![("HOME", "/root")], "/var/lib"),
            ("~/.local/state/pillivery", vec![("HOME", "/home/kim")], "/home/kim/.local/state"),
        ];
        let help = Cli::command().render_long_help().to_string();
        for (told, set, base) in expected {
            assert_eq!(default(&set), Some(PathBuf::from(base).join("pillivery")));
            assert!(help.contains(told), "{told} in {help}");
        }
        assert_eq!(default(&[]), None);
    }

    /// A script that waits for the file read the addresses of an earlier start.
    #[test]
    fn a_ready_file_of_an_earlier_start_is_removed_first() {
        let folder = StateDir::temporary().unwrap();
        let path = folder.path().join("ready.json");
        remove_stale(&path).unwrap();
        fs::write(&path, "{}").unwrap();
        remove_stale(&path).unwrap();
        assert!(!path.exists());
        let nowhere = folder.path().join("nowhere/ready.json");
        assert!(remove_stale(&nowhere).unwrap_err().to_string().contains("nowhere/ready.json"));
    }
}

//! Options of commands that intervene: for whom it is recorded, and whether it was meant.

use std::io::{self, IsTerminal as _, Write as _};

use clap::Args;

use crate::config::environment;

/// Who intervenes.
#[derive(Debug, Clone, Default, Args)]
pub struct By {
    /// Who does it, for the record; the login name when left out.
    #[arg(long = "as", value_name = "NAME", global = true)]
    operator: Option<String>,
}

impl By {
    /// `--as NAME`, or the login name, or without one (cron, a container) the user's number.
    pub fn operator(&self) -> String {
        let environment = environment();
        let login = || environment("SUDO_USER").or_else(|| environment("USER"));
        let number = || format!("uid {}", rustix::process::getuid().as_raw());
        self.operator.clone().or_else(login).unwrap_or_else(number)
    }

    /// Logs what was done where no table keeps it.
    pub fn log(&self, action: &'static str, subject: &str) {
        let operator = self.operator();
        tracing::warn!(operator, action, subject, "an operator intervened");
    }
}

/// The confirmation of a command that destroys something or changes what shoppers see.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Confirmation {
    /// Confirms it without being asked; needed where standard input is no terminal.
    #[arg(long)]
    yes: bool,
}

/// A command was not confirmed, and did nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unconfirmed {
    /// There is no terminal to ask at.
    #[error("{0}; confirm it with --yes")]
    NotAsked(String),
    /// The answer was no.
    #[error("{0}; not confirmed")]
    Declined(String),
    /// The terminal could not be asked.
    #[error("ask at the terminal")]
    Terminal(#[from] io::Error),
}

impl Confirmation {
    /// Returns when `--yes` was given or the operator at the terminal confirms `what`, a sentence
    /// about what will happen, without a full stop.
    ///
    /// # Errors
    /// [`Unconfirmed`].
    pub fn require(self, what: &str) -> Result<(), Unconfirmed> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(Unconfirmed::NotAsked(what.to_owned()));
        }
        write!(io::stderr(), "{what}. Go on? [y/N] ")?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(Unconfirmed::Declined(what.to_owned()))
    }
}

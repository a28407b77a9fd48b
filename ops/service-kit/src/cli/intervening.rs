//! Options of commands that intervene: for whom it is recorded, and whether it was meant.

use std::io::{self, IsTerminal as _, Write as _};

use clap::Args;

use super::Lookup;
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
        self.operator_in(&environment())
    }

    fn operator_in(&self, lookup: Lookup<'_>) -> String {
        let login = || lookup("SUDO_USER").or_else(|| lookup("USER"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_named_as_told_by_login_or_by_number() {
        let login = |name: &str| match name {
            "USER" => Some("root".to_owned()),
            "SUDO_USER" => Some("hana".to_owned()),
            _ => None,
        };
        let given = By { operator: Some("dana".to_owned()) };
        let unnamed = By::default();
        assert_eq!(given.operator_in(&login), "dana");
        assert_eq!(unnamed.operator_in(&login), "hana");
        let without_sudo = |name: &str| if name == "USER" { login(name) } else { None };
        assert_eq!(unnamed.operator_in(&without_sudo), "root");
        let uid = rustix::process::getuid().as_raw();
        assert_eq!(unnamed.operator_in(&|_: &str| None), format!("uid {uid}"));
    }
}

//! What every command line has beside its own commands.
//!
//! `--help` lists the variables and the exit codes, `--version` the commit, `--print-config` and
//! `check-config` show and check the configuration, `completions SHELL` and `man` are for packagers.
//! All of it comes from the clap command and the table of variables that the process declares.

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, value_parser};
use clap_complete::Shell;
use serde::Serialize;

use crate::build::VERSION_AND_COMMIT;
use crate::causes::with_causes;
use crate::config::{self, ConfigError, Tables, environment, environment_names};

mod intervening;

pub use intervening::{By, Confirmation, Unconfirmed};

/// The answer is no: a difference, a pending migration, a failed check, a refused row.
pub const ANSWER_IS_NO: u8 = 1;
/// Wrong options or settings.
pub const USAGE: u8 = 2;
/// It could not be done or found out.
pub const FAILED: u8 = 3;

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or the answer is yes
  1  the answer is no: a difference, a pending migration, a failed check, a refused row
  2  wrong options or settings
  3  it could not be done or found out";

/// Reads a variable by name.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A program and its configuration.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// The name of the binary.
    pub name: &'static str,
    /// Every variable it reads.
    pub variables: Tables,
    /// Loads the configuration and drops it.
    pub check: fn(Lookup<'_>) -> Result<(), ConfigError>,
}

impl Program {
    /// Reads the command line and does what is common to all programs.
    ///
    /// # Errors
    /// The code to exit with, when nothing is left to do.
    pub fn parse<C: CommandFactory + FromArgMatches>(&self) -> Result<C, ExitCode> {
        let environment = environment();
        let given = Given {
            arguments: std::env::args_os().collect(),
            lookup: &environment,
            names: environment_names().collect(),
        };
        self.parse_given(&given, &mut io::stdout())
    }

    fn parse_given<C: CommandFactory + FromArgMatches>(
        &self,
        given: &Given<'_>,
        out: &mut dyn Write,
    ) -> Result<C, ExitCode> {
        let mut command = self.command::<C>();
        let matches = command.try_get_matches_from_mut(given.arguments.clone());
        let matches = matches.map_err(|error| usage(&error))?;
        if let Some(outcome) = self.common(&matches, given, &mut command, out) {
            return Err(outcome.unwrap_or_else(|error| self.failed(&error)));
        }
        C::from_arg_matches(&matches).map_err(|error| usage(&error.format(&mut command)))
    }

    /// What `load` makes of the environment.
    ///
    /// # Errors
    /// The faults are written to standard error, a line each; the code to exit with comes back.
    pub fn configuration<T>(
        &self,
        load: impl FnOnce(Lookup<'_>) -> Result<T, ConfigError>,
    ) -> Result<T, ExitCode> {
        let environment = environment();
        let misspelt = config::refuse_misspelt(self.variables, environment_names());
        let loaded = load(&environment);
        match (misspelt, loaded) {
            (Ok(()), Ok(loaded)) => Ok(loaded),
            (misspelt, loaded) => Err(self.refused([misspelt.err(), loaded.err()])),
        }
    }

    /// Logs why a service ended.
    pub fn ended(&self, error: &(dyn Error + 'static)) -> ExitCode {
        tracing::error!(error, "{} ended", self.name);
        ExitCode::from(FAILED)
    }

    /// Writes why it could not be done to standard error, with all causes in one line.
    pub fn failed(&self, error: &dyn Error) -> ExitCode {
        complain(&format!("{}: {}", self.name, with_causes(error)));
        ExitCode::from(FAILED)
    }

    /// Writes to standard error what was wrong with the arguments.
    pub fn wrong_use(&self, what: &str) -> ExitCode {
        complain(&format!("{}: {what}", self.name));
        ExitCode::from(USAGE)
    }

    /// Writes to standard error why the answer is no.
    pub fn answer_is_no(&self, why: &str) -> ExitCode {
        complain(&format!("{}: {why}", self.name));
        ExitCode::from(ANSWER_IS_NO)
    }

    fn refused(&self, faults: impl IntoIterator<Item = Option<ConfigError>>) -> ExitCode {
        for fault in faults.into_iter().flatten().flat_map(ConfigError::each) {
            complain(&format!("{}: {fault}", self.name));
        }
        ExitCode::from(USAGE)
    }

    fn command<C: CommandFactory>(&self) -> Command {
        let more =
            format!("`{} --help` lists the environment variables and exit codes.", self.name);
        let print = Arg::new("print-config").long("print-config").action(ArgAction::SetTrue);
        let shell = Arg::new("shell").required(true).value_parser(value_parser!(Shell));
        C::command()
            .name(self.name)
            .version(VERSION_AND_COMMIT)
            .mut_subcommands(|command| command.after_help(more.clone()))
            .after_help(more.clone())
            .after_long_help(format!("{}\n\n{EXIT_CODES}", config::help(self.variables)))
            .arg(print.help("Prints the configuration that holds, secrets as ***, and exits"))
            .subcommand(
                Command::new("check-config")
                    .about("Checks the configuration, names every fault, and does nothing else"),
            )
            .subcommand(Command::new("completions").hide(true).arg(shell))
            .subcommand(Command::new("man").hide(true))
            // Otherwise `--print-config` would need one; what is missing is found afterwards.
            .subcommand_required(false)
    }

    fn common(
        &self,
        matches: &ArgMatches,
        given: &Given<'_>,
        command: &mut Command,
        out: &mut dyn Write,
    ) -> Option<io::Result<ExitCode>> {
        if matches.get_flag("print-config") {
            let shown = config::shown(self.variables, given.lookup);
            return Some(out.write_all(shown.as_bytes()).map(|()| ExitCode::SUCCESS));
        }
        match matches.subcommand()? {
            ("check-config", _) => Some(self.check_config(given, out)),
            ("completions", chosen) => {
                let shell = *chosen.get_one::<Shell>("shell")?;
                let mut script = Vec::new();
                clap_complete::generate(shell, command, self.name, &mut script);
                Some(out.write_all(&script).map(|()| ExitCode::SUCCESS))
            }
            ("man", _) => {
                let mut page = Vec::new();
                let rendered = clap_mangen::Man::new(command.clone()).render(&mut page);
                Some(rendered.and_then(|()| out.write_all(&page)).map(|()| ExitCode::SUCCESS))
            }
            _ => None,
        }
    }

    fn check_config(&self, given: &Given<'_>, out: &mut dyn Write) -> io::Result<ExitCode> {
        let misspelt = config::refuse_misspelt(self.variables, given.names.iter().cloned());
        let faults = [misspelt.err(), (self.check)(given.lookup).err()];
        if faults.iter().any(Option::is_some) {
            return Ok(self.refused(faults));
        }
        writeln!(out, "the configuration can be used")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What the process was started with.
struct Given<'a> {
    arguments: Vec<OsString>,
    lookup: Lookup<'a>,
    names: Vec<String>,
}

fn usage(error: &clap::Error) -> ExitCode {
    // A closed standard output changes nothing about the outcome.
    drop(error.print());
    u8::try_from(error.exit_code()).map_or(ExitCode::from(USAGE), ExitCode::from)
}

#[expect(clippy::print_stderr, reason = "the last word of a program goes to standard error")]
fn complain(line: &str) {
    eprintln!("{line}");
}

/// A list as every command prints it with `--json`.
#[derive(Debug, Serialize)]
pub struct Rows<'a, T> {
    /// The rows that were asked for.
    pub rows: &'a [T],
}

/// Writes `value` as JSON to standard output: indented for a terminal, one line for a program.
///
/// # Errors
/// Standard output is closed.
pub fn print_json(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let written = if out.is_terminal() {
        serde_json::to_writer_pretty(&mut out, value)
    } else {
        serde_json::to_writer(&mut out, value)
    };
    written.map_err(io::Error::from)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use clap::{Parser, Subcommand};

    use super::*;
    use crate::config::{Settings, Shape, Table, Variable};

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(subcommand)]
        command: Order,
    }

    #[derive(Debug, Subcommand)]
    enum Order {
        /// Works.
        Run,
    }

    const VARIABLES: Table = &[
        Variable::required("DEMO_URL", Shape::SecretText, "Where it is."),
        Variable::number("DEMO_SIZE", 8, 1..=200, "How many."),
    ];

    const PROGRAM: Program = Program {
        name: "demo",
        variables: &[VARIABLES],
        check: |lookup| Settings::of(VARIABLES, lookup).map(drop),
    };

    fn told(arguments: &[&str], set: &'static [(&str, &str)]) -> (Result<Cli, ExitCode>, String) {
        let lookup = |name: &str| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let mut out = Vec::new();
        let given = Given {
            arguments: [&["demo"], arguments].concat().into_iter().map(OsString::from).collect(),
            lookup: &lookup,
            names: set.iter().map(|(name, _)| (*name).to_owned()).collect(),
        };
        let outcome = PROGRAM.parse_given(&given, &mut out);
        (outcome, String::from_utf8(out).unwrap())
    }

    fn code(outcome: Result<Cli, ExitCode>) -> String {
        format!("{:?}", outcome.unwrap_err())
    }

    fn exit(number: u8) -> String {
        format!("{:?}", ExitCode::from(number))
    }

    #[test]
    fn a_configuration_is_shown_and_checked_without_a_command() {
        let (outcome, shown) = told(&["--print-config"], &[("DEMO_URL", "hunter2")]);
        assert_eq!(code(outcome), exit(0));
        assert_eq!(shown, "DEMO_URL=***\nDEMO_SIZE=8 (default)\n");
        let (outcome, said) = told(&["check-config"], &[("DEMO_URL", "hunter2")]);
        assert_eq!((code(outcome), said.as_str()), (exit(0), "the configuration can be used\n"));
        for wrong in [&[("DEMO_SIZE", "0")][..], &[("DEMO_URL", "x"), ("DEMO_SIZES", "2")]] {
            assert_eq!(code(told(&["check-config"], wrong).0), exit(USAGE), "{wrong:?}");
        }
    }

    #[test]
    fn help_names_every_variable_and_every_exit_code() {
        let help = PROGRAM.command::<Cli>().render_long_help().to_string();
        for part in ["DEMO_URL", "DEMO_SIZE", "1 to 200", "default 8", "Exit codes", "check-config"]
        {
            assert!(help.contains(part), "{help}");
        }
        let version = PROGRAM.command::<Cli>().render_version();
        assert_eq!(version, format!("demo {VERSION_AND_COMMIT}\n"));
    }

    #[test]
    fn a_command_is_still_needed_and_a_wrong_one_is_a_wrong_use() {
        assert!(matches!(told(&["run"], &[]).0.unwrap().command, Order::Run));
        assert_eq!(code(told(&[], &[]).0), exit(USAGE));
        assert_eq!(code(told(&["--nonsense"], &[]).0), exit(USAGE));
    }

    #[test]
    fn completions_and_a_manual_page_are_there_for_packagers() {
        let (outcome, script) = told(&["completions", "bash"], &[]);
        assert_eq!(code(outcome), exit(0));
        assert!(script.contains("demo"), "{script}");
        assert!(told(&["man"], &[]).1.contains(".TH demo"));
    }
}

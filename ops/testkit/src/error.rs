//! Why a server of our own could not be had.

use std::io;
use std::path::{Path, PathBuf};

/// Any cause, where nobody decides on its kind.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a private server could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A program is not installed.
    #[error("{program} is not installed (on Debian or Ubuntu: apt-get install {package})")]
    NotInstalled {
        /// The program that was looked for.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// Another live process uses the same directory.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The account that the server has to run under may not enter the directory.
    #[error("the account {account} cannot enter {}; choose another directory", .dir.display())]
    NotReachable {
        /// The account.
        account: String,
        /// The directory.
        dir: PathBuf,
    },
    /// The data there was made by another version of the server.
    #[error("{} was made by another PostgreSQL version; move it away", .0.display())]
    OtherVersion(PathBuf),
    /// The server ended or did not answer in time; with the end of its log.
    #[error("{program} did not start:\n{log}")]
    NotReady {
        /// The server.
        program: &'static str,
        /// The last lines it wrote.
        log: String,
    },
    /// A file, a directory or a process could not be handled.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The server is there but refused a statement.
    #[error("{what}")]
    Refused {
        /// What was being done.
        what: &'static str,
        /// What the server said.
        #[source]
        source: BoxError,
    },
}

impl ServiceError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn not_ready(program: &'static str, log: &Path) -> Self {
        const LINES: usize = 20;
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
        Self::NotReady { program, log: tail.join("\n") }
    }
}

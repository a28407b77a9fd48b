//! What a rebuild came to, in words that say what was checked.

use std::fmt;
use std::time::Duration;

use contracts::Position;

/// What was compared before the new version was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// Nothing: a dry run makes no rows.
    Nothing,
    /// The tables hold as many rows as were copied in, and so many of them, read back, were as copied.
    Copied {
        /// Rows read back, all tables together.
        sample: u64,
    },
    /// Every row was compared with a second replay of the log.
    Replayed {
        /// Rows compared, all tables together.
        rows: u64,
    },
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(f, "nothing compared"),
            Self::Copied { sample } => {
                write!(f, "copied rows counted and {sample} of them read back")
            }
            Self::Replayed { rows } => write!(f, "all {rows} rows compared with a second replay"),
        }
    }
}

/// What a rebuild came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildReport {
    /// The projection.
    pub name: String,
    /// The new version; `None` for a dry run.
    pub version: Option<i32>,
    /// Events folded from the log's beginning.
    pub events: u64,
    /// Rows written, all tables together.
    pub rows: u64,
    /// Events set aside because they could not be folded.
    pub parked: u64,
    /// Events left out because an operator gave them up.
    pub given_up: u64,
    /// Up to where the log was folded before catching up.
    pub position: Position,
    /// How long the build took, without catching up and switching.
    pub took: Duration,
    /// What was compared.
    pub checked: Checked,
    /// Whether queries see the new version.
    pub is_served: bool,
}

impl fmt::Display for RebuildReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, rows, parked, given_up, took, checked, .. } = self;
        match self.version {
            Some(version) => write!(f, "version {version}, ")?,
            None => write!(f, "dry run, ")?,
        }
        write!(f, "{events} events into {rows} rows in {} ms", took.as_millis())?;
        if 0 < *parked {
            write!(f, ", {parked} events parked")?;
        }
        if 0 < *given_up {
            write!(f, ", {given_up} given up and left out")?;
        }
        write!(f, ", {checked}")?;
        if self.is_served { write!(f, ", served") } else { write!(f, ", not served") }
    }
}

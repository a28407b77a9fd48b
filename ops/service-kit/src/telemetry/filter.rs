//! Which log lines are written.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};

/// What is logged unless asked otherwise: our own lines from `info`, those of libraries from `warn`.
/// A connection of a pool that breaks is an error to the caller that uses it, so the pool's own
/// warning repeats it, and at an orderly stop of the database is wrong.
const DEFAULT: [(&str, LevelFilter); 5] = [
    ("hyper", LevelFilter::WARN),
    ("tokio_postgres", LevelFilter::WARN),
    ("poem", LevelFilter::WARN),
    ("refinery_core", LevelFilter::WARN),
    ("deadpool", LevelFilter::ERROR),
];

/// `LOG_FILTER`: levels, for everything or by target, that replace single defaults.
///
/// `debug` logs everything of ours from `debug`; `warn,projections=debug` only warnings, but
/// everything of the projections. What it does not name stays at its default.
#[derive(Clone, PartialEq)]
pub struct LogFilter(Targets);

/// A text that is no filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected levels (off, error, warn, info, debug, trace) as in info,projections=debug")]
pub struct InvalidLogFilter;

impl LogFilter {
    /// Warnings alone, for tools.
    pub fn warnings() -> Self {
        Self(Self::default().0.with_default(LevelFilter::WARN))
    }

    pub(super) fn targets(&self) -> Targets {
        self.0.clone()
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self(Targets::new().with_default(LevelFilter::INFO).with_targets(DEFAULT))
    }
}

impl FromStr for LogFilter {
    type Err = InvalidLogFilter;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut targets = Self::default().0;
        for directive in text.split(',').map(str::trim) {
            targets = match directive.split_once('=') {
                None => targets.with_default(level(directive)?),
                Some(("", _)) => return Err(InvalidLogFilter),
                Some((target, name)) => targets.with_target(target.trim(), level(name)?),
            };
        }
        Ok(Self(targets))
    }
}

/// A word that is no level is refused: the library would take it for a target.
fn level(name: &str) -> Result<LevelFilter, InvalidLogFilter> {
    match name.trim().to_ascii_lowercase().as_str() {
        "off" => Ok(LevelFilter::OFF),
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err(InvalidLogFilter),
    }
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn lets_through(filter: &LogFilter, target: &str, level: Level) -> bool {
        filter.0.would_enable(target, &level)
    }

    #[test]
    fn what_a_filter_does_not_name_stays_at_its_default() {
        let filter: LogFilter = "projections=debug, hyper=info".parse().unwrap();
        assert!(lets_through(&filter, "projections::run", Level::DEBUG));
        assert!(lets_through(&filter, "checkout_api", Level::INFO));
        assert!(!lets_through(&filter, "checkout_api", Level::DEBUG));
        assert!(lets_through(&filter, "hyper::proto", Level::INFO));
        assert!(!lets_through(&filter, "tokio_postgres", Level::INFO));
        assert!(!lets_through(&filter, "deadpool.postgres", Level::WARN));
    }

    #[test]
    fn a_mistyped_level_is_refused() {
        for text in ["", "infos", "info,", "projections", "projections=loud", "=debug", "5"] {
            assert_eq!(text.parse::<LogFilter>(), Err(InvalidLogFilter), "{text:?}");
        }
    }
}

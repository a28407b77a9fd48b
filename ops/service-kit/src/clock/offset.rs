//! A wall clock that a test can move in a running process, for development only.
//!
//! The process shows the machine's time plus an offset that it reads from a file, at most every
//! 100 ms. Pauses and [`Clock::monotonic`] stay real: moving the clock is what an operator who sets
//! the wall clock does, not a faster machine.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{BoxFuture, Clock, SharedClock, SystemClock};
use crate::config::{ConfigError, Settings};

/// Names the file that holds the offset in seconds; a missing file means 0.
const FILE: &str = "CLOCK_FILE";
/// Must be `1` for [`FILE`] to be accepted.
const SWITCH: &str = "DEVELOPMENT_CLOCK";
/// The file is read again after this time at the earliest: `now` is asked thousands of times a
/// second.
const READ_PAUSE: Duration = Duration::from_millis(100);

/// Which clock a process uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClockSettings {
    file: Option<PathBuf>,
}

impl ClockSettings {
    /// Reads `CLOCK_FILE`, which needs `DEVELOPMENT_CLOCK=1` beside it.
    ///
    /// # Errors
    /// The file is named without the switch: a production process with a settable clock would
    /// expire orders and compare payments at the wrong time.
    pub fn load(settings: &Settings<'_>) -> Result<Self, ConfigError> {
        let file = settings.optional(FILE).map(PathBuf::from);
        let is_development = settings.optional(SWITCH).is_some_and(|it| it.trim() == "1");
        if file.is_some() && !is_development {
            return Err(ConfigError::invalid(FILE, format!("expected {SWITCH}=1 beside it")));
        }
        Ok(Self { file })
    }

    /// The clock; a settable one is reported with a warning.
    pub fn clock(&self) -> SharedClock {
        match &self.file {
            None => SystemClock::shared(),
            Some(file) => {
                tracing::warn!(file = %file.display(), "the clock is settable: development only");
                Arc::new(OffsetClock::reading(file.clone()))
            }
        }
    }
}

/// The machine's clock plus the offset that a file holds.
#[derive(Debug)]
pub struct OffsetClock {
    file: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    offset: TimeDelta,
    /// Absent before the first reading.
    read_at: Option<Duration>,
}

impl OffsetClock {
    /// A clock that reads its offset from `file`.
    pub fn reading(file: PathBuf) -> Self {
        Self { file, known: Mutex::new(Known { offset: TimeDelta::zero(), read_at: None }) }
    }

    fn offset(&self) -> TimeDelta {
        let now = self.monotonic();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.read_at.is_none_or(|at| READ_PAUSE <= now.saturating_sub(at)) {
            known.read_at = Some(now);
            known.offset = match std::fs::read_to_string(&self.file) {
                // A file that is being written is read again in a moment.
                Ok(text) => seconds_in(&text).unwrap_or(known.offset),
                Err(_missing) => TimeDelta::zero(),
            };
        }
        known.offset
    }
}

fn seconds_in(text: &str) -> Option<TimeDelta> {
    text.trim().parse().ok().and_then(TimeDelta::try_seconds)
}

impl Clock for OffsetClock {
    fn now(&self) -> DateTime<Utc> {
        let now = SystemClock.now();
        now.checked_add_signed(self.offset()).unwrap_or(now)
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<'_, ()> {
        SystemClock.sleep(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(with_switch: bool) -> Settings<'static> {
        Settings::new(move |name| match name {
            FILE => Some("/tmp/clock".to_owned()),
            SWITCH if with_switch => Some("1".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn a_settable_clock_needs_the_development_switch() {
        let refused = ClockSettings::load(&settings(false)).unwrap_err().to_string();
        assert_eq!(refused, "CLOCK_FILE: expected DEVELOPMENT_CLOCK=1 beside it");
        assert!(ClockSettings::load(&settings(true)).is_ok());
        let unset = ClockSettings::load(&Settings::new(|_| None)).unwrap();
        assert_eq!(unset, ClockSettings::default());
    }

    #[test]
    fn the_offset_is_read_and_a_missing_file_is_none() {
        let file = std::env::temp_dir().join(format!("clock-{}", uuid::Uuid::now_v7()));
        let ahead = || {
            let clock = OffsetClock::reading(file.clone());
            (clock.now() - SystemClock.now()).num_minutes()
        };
        assert_eq!(ahead(), 0);
        // A second more than an hour, because the two clocks are not read at the same instant.
        std::fs::write(&file, "3601\n").unwrap();
        assert_eq!(ahead(), 60);
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_read_as_a_number_leaves_the_offset_as_it_was() {
        assert_eq!(seconds_in("-90"), TimeDelta::try_seconds(-90));
        assert_eq!(seconds_in(""), None);
    }
}

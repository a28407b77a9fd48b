//! Which clock a process runs on: the machine's, or in development one that a file sets.
//!
//! A run that must see page ends, expiries and nightly jobs within minutes moves the clock of all its
//! processes by writing an offset into one file. Pauses and the monotonic reading stay the machine's:
//! only the current instant moves.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::{BoxFuture, Clock, SharedClock, SystemClock};
use crate::config::{ConfigError, Settings};

/// How long an offset is used before the file is read again.
const OFFSET_KEPT_FOR: Duration = Duration::from_millis(100);

/// Which clock, as configured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ClockSource {
    /// The machine's clock.
    #[default]
    System,
    /// The machine's clock, moved by the seconds that this file holds. Development only.
    File(PathBuf),
}

impl ClockSource {
    /// Reads `CLOCK_FILE`, which is refused unless `CLOCK_SETTABLE` is `1`: a shop whose time can be
    /// set expires orders and declines payments at will.
    ///
    /// # Errors
    /// One of the two is set without the other, or not to what is expected.
    pub fn load(settings: &Settings<'_>) -> Result<Self, ConfigError> {
        let is_settable = match settings.optional("CLOCK_SETTABLE").as_deref() {
            None | Some("0") => false,
            Some("1") => true,
            Some(_) => return Err(ConfigError::invalid("CLOCK_SETTABLE", "expected 0 or 1")),
        };
        match (settings.optional("CLOCK_FILE"), is_settable) {
            (None, false) => Ok(Self::System),
            (Some(path), true) => Ok(Self::File(path.into())),
            (Some(_), false) => {
                Err(ConfigError::invalid("CLOCK_FILE", "expected CLOCK_SETTABLE=1 beside it"))
            }
            (None, true) => {
                Err(ConfigError::invalid("CLOCK_SETTABLE", "expected CLOCK_FILE beside it"))
            }
        }
    }

    /// The clock; a settable one is announced in the log.
    pub fn shared(&self) -> SharedClock {
        match self {
            Self::System => SystemClock::shared(),
            Self::File(path) => {
                let file = path.display();
                tracing::warn!(%file, "this process runs on a clock that can be set: development only");
                Arc::new(FileClock { path: path.clone(), read: Mutex::new(None) })
            }
        }
    }

    /// Whether the clock can be set, so that it need not agree with the database's.
    pub const fn is_settable(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

/// The machine's clock, moved by what a file holds.
#[derive(Debug)]
struct FileClock {
    path: PathBuf,
    read: Mutex<Option<Reading>>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    offset: TimeDelta,
}

impl FileClock {
    fn offset(&self) -> TimeDelta {
        // No code under the lock can panic half-way through a change.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reading) = *read
            && reading.at.elapsed() < OFFSET_KEPT_FOR
        {
            return reading.offset;
        }
        let before = read.map_or(TimeDelta::zero(), |reading| reading.offset);
        // A file that is absent or being written leaves the clock where it is.
        let offset = fs::read_to_string(&self.path)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .and_then(TimeDelta::try_seconds)
            .unwrap_or(before);
        *read = Some(Reading { at: Instant::now(), offset });
        offset
    }
}

impl Clock for FileClock {
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

    fn source(table: &[(&str, &str)]) -> Result<ClockSource, ConfigError> {
        let lookup = |name: &str| {
            let found = table.iter().find(|(setting, _)| *setting == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        ClockSource::load(&Settings::new(lookup))
    }

    #[test]
    fn a_clock_that_can_be_set_needs_both_settings() {
        assert_eq!(source(&[]), Ok(ClockSource::System));
        let both = source(&[("CLOCK_FILE", "/c"), ("CLOCK_SETTABLE", "1")]);
        assert!(both.unwrap().is_settable());
        for wrong in [
            &[("CLOCK_FILE", "/c")][..],
            &[("CLOCK_SETTABLE", "1")],
            &[("CLOCK_FILE", "/c"), ("CLOCK_SETTABLE", "yes")],
        ] {
            assert!(source(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_file_moves_the_clock_and_nonsense_in_it_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("offset");
        let clock = FileClock { path: path.clone(), read: Mutex::new(None) };
        let forget = || *clock.read.lock().unwrap() = None;
        let ahead = || (clock.now() - SystemClock.now()).num_minutes();
        assert_eq!(ahead(), 0, "no file");
        fs::write(&path, "3601\n").unwrap();
        assert_eq!(ahead(), 0, "read a moment ago");
        forget();
        assert_eq!(ahead(), 60);
        fs::write(&path, "soon").unwrap();
        clock.read.lock().unwrap().as_mut().unwrap().at -= OFFSET_KEPT_FOR;
        assert_eq!(ahead(), 60);
    }
}

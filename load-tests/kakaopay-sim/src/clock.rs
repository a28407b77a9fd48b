//! The simulator's clock: it follows another until somebody sets it.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use service_kit::clock::SharedClock;

/// How the time shown follows from the clock underneath.
#[derive(Debug, Clone, Copy)]
enum Setting {
    /// Runs with it, so much ahead.
    Ahead(TimeDelta),
    /// Stands still.
    At(DateTime<Utc>),
}

/// A change of the simulator's clock, as `PUT /__sim/clock` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ClockChange {
    /// Stand still at this instant.
    Now(DateTime<Utc>),
    /// Move by so many seconds; a clock that stands still goes on standing.
    AdvanceSeconds(i64),
    /// Follow the clock underneath again; the value is ignored.
    System(bool),
}

/// What decides on expiry, months and times in answers. Latency is real time, whatever it shows.
#[derive(Debug)]
pub struct SimClock {
    underneath: SharedClock,
    setting: Mutex<Setting>,
}

impl SimClock {
    pub(crate) fn new(underneath: SharedClock) -> Self {
        Self { underneath, setting: Mutex::new(Setting::Ahead(TimeDelta::zero())) }
    }

    /// The time the simulator believes it to be.
    pub fn now(&self) -> DateTime<Utc> {
        match *self.setting.lock().unwrap_or_else(PoisonError::into_inner) {
            Setting::Ahead(by) => moved(self.underneath.now(), by),
            Setting::At(instant) => instant,
        }
    }

    /// Sets, moves or releases the clock and returns the time it shows then.
    pub fn change(&self, change: ClockChange) -> DateTime<Utc> {
        {
            let mut setting = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
            *setting = match (change, *setting) {
                (ClockChange::Now(instant), _) => Setting::At(instant),
                (ClockChange::System(_), _) => Setting::Ahead(TimeDelta::zero()),
                (ClockChange::AdvanceSeconds(by), Setting::At(at)) => {
                    Setting::At(moved(at, seconds(by)))
                }
                (ClockChange::AdvanceSeconds(by), Setting::Ahead(ahead)) => {
                    Setting::Ahead(ahead.checked_add(&seconds(by)).unwrap_or(ahead))
                }
            };
        }
        self.now()
    }
}

fn seconds(by: i64) -> TimeDelta {
    TimeDelta::try_seconds(by).unwrap_or_default()
}

fn moved(instant: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    instant.checked_add_signed(by).unwrap_or(instant)
}

/// Korean wall clock, to the second, without a zone: how KakaoPay writes every time.
pub(crate) fn kst(instant: DateTime<Utc>) -> String {
    moved(instant, TimeDelta::hours(9)).format("%Y-%m-%dT%H:%M:%S").to_string()
}

/// The Korean month, as `2026-11`.
pub(crate) fn kst_month(instant: DateTime<Utc>) -> String {
    moved(instant, TimeDelta::hours(9)).format("%Y-%m").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use service_kit::clock::ManualClock;

    #[test]
    fn it_follows_until_set_and_stands_until_released() {
        let start = "2026-11-23T12:00:00Z".parse().expect("an instant");
        let underneath = ManualClock::at(start);
        let clock = SimClock::new(underneath.shared());
        underneath.advance(std::time::Duration::from_secs(5));
        assert_eq!(clock.now(), start + TimeDelta::seconds(5));
        clock.change(ClockChange::AdvanceSeconds(60));
        assert_eq!(clock.now(), start + TimeDelta::seconds(65));
        clock.change(ClockChange::Now(start));
        underneath.advance(std::time::Duration::from_secs(5));
        assert_eq!(clock.change(ClockChange::AdvanceSeconds(1)), start + TimeDelta::seconds(1));
        assert_eq!(clock.change(ClockChange::System(true)), start + TimeDelta::seconds(10));
    }

    #[test]
    fn times_are_korean() {
        let instant = "2026-10-31T15:00:00Z".parse().expect("an instant");
        assert_eq!(kst(instant), "2026-11-01T00:00:00");
        assert_eq!(kst_month(instant), "2026-11");
    }
}

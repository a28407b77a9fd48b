//! Time as an argument: everything that asks for the hour or waits a while asks a [`Clock`].
//!
//! With [`ManualClock`] a test decides when time passes, so none has to sleep; a pause of an hour
//! ends in the instant in which the test says that an hour is over.

mod offset;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

pub use self::offset::{ClockSettings, OffsetClock};

/// A future on the heap, so that [`Clock`] can be used as a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The clock as processes pass it around.
pub type SharedClock = Arc<dyn Clock>;

/// Where the current instant and pauses come from.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The current instant in UTC.
    fn now(&self) -> DateTime<Utc>;

    /// Time since an origin of this clock's own. It never goes back and doesn't jump when the wall
    /// clock is set, so the difference between two readings is the time that passed.
    fn monotonic(&self) -> Duration;

    /// Ends once `pause` has passed on this clock.
    fn sleep(&self, pause: Duration) -> BoxFuture<'_, ()>;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The machine's clock in the shape in which it is passed around.
    pub fn shared() -> SharedClock {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that all others ask")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Duration {
        /// All handles share one origin, so readings of two of them may be compared.
        static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        ORIGIN.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock that all others ask")]
    fn sleep(&self, pause: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(pause))
    }
}

/// A clock that stands still until it is told to move. Clones show the same time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    time: Arc<watch::Sender<Reading>>,
}

/// What a [`ManualClock`] shows on its two faces.
#[derive(Debug, Clone, Copy)]
struct Reading {
    wall: DateTime<Utc>,
    /// Moved by `advance` alone.
    passed: Duration,
}

impl ManualClock {
    /// A clock that shows `start` until it is moved.
    pub fn at(start: DateTime<Utc>) -> Self {
        let reading = Reading { wall: start, passed: Duration::ZERO };
        Self { time: Arc::new(watch::Sender::new(reading)) }
    }

    /// Moves the clock forward and wakes every sleeper whose pause is over by then.
    pub fn advance(&self, by: Duration) {
        self.time.send_modify(|reading| {
            reading.wall = later(reading.wall, by);
            reading.passed = reading.passed.saturating_add(by);
        });
    }

    /// Puts the clock at `instant`, even backwards: sleepers wake only if their end has come.
    /// `monotonic` doesn't move, as when an operator sets the wall clock of a machine.
    pub fn set(&self, instant: DateTime<Utc>) {
        self.time.send_modify(|reading| reading.wall = instant);
    }

    /// How many are asleep on this clock; lets a test wait until the code under test pauses.
    pub fn sleepers(&self) -> usize {
        self.time.receiver_count()
    }

    /// The same clock in the shape in which it is passed around.
    pub fn shared(&self) -> SharedClock {
        Arc::new(self.clone())
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        self.time.borrow().wall
    }

    fn monotonic(&self) -> Duration {
        self.time.borrow().passed
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<'_, ()> {
        // Subscribed here and not at the first poll, so that an `advance` in between counts.
        let mut time = self.time.subscribe();
        let end = later(time.borrow().wall, pause);
        Box::pin(async move {
            // The sender lives in `self`, which this future borrows, so the wait cannot fail.
            drop(time.wait_for(|reading| end <= reading.wall).await);
        })
    }
}

fn later(instant: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(by)
        .ok()
        .and_then(|delta| instant.checked_add_signed(delta))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> DateTime<Utc> {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_its_time_has_come_and_not_before() {
        let clock = ManualClock::at(noon());
        let mut nap = clock.sleep(Duration::from_hours(1));
        assert_eq!(clock.sleepers(), 1);

        clock.advance(Duration::from_secs(3599));
        assert!(futures_poll(&mut nap).await.is_none());

        clock.advance(Duration::from_secs(1));
        nap.await;
        assert_eq!(clock.now(), noon() + TimeDelta::hours(1));
    }

    #[tokio::test]
    async fn an_advance_before_the_first_poll_counts() {
        let clock = ManualClock::at(noon());
        let nap = clock.sleep(Duration::from_mins(1));
        clock.advance(Duration::from_mins(1));
        nap.await;
    }

    #[tokio::test]
    async fn clones_show_the_same_time() {
        let clock = ManualClock::at(noon());
        let shared = clock.shared();
        clock.advance(Duration::from_secs(5));
        assert_eq!(shared.now(), noon() + TimeDelta::seconds(5));
    }

    #[test]
    fn monotonic_time_is_moved_by_advance_and_not_by_set() {
        let clock = ManualClock::at(noon());
        let start = clock.monotonic();
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.monotonic().checked_sub(start), Some(Duration::from_secs(5)));

        clock.set(noon() - TimeDelta::hours(1));
        clock.set(noon() + TimeDelta::hours(1));
        assert_eq!(clock.monotonic().checked_sub(start), Some(Duration::from_secs(5)));
    }

    #[test]
    fn monotonic_time_of_the_machine_never_goes_back() {
        let first = SystemClock.monotonic();
        let second = SystemClock::shared().monotonic();
        assert!(first <= second, "two handles share one origin");
    }

    #[tokio::test]
    async fn a_pause_longer_than_time_itself_does_not_overflow() {
        let clock = ManualClock::at(noon());
        drop(clock.sleep(Duration::MAX));
        assert_eq!(later(noon(), Duration::MAX), DateTime::<Utc>::MAX_UTC);
    }

    /// Polls once after everything else that is ready has run.
    async fn futures_poll(nap: &mut BoxFuture<'_, ()>) -> Option<()> {
        tokio::select! {
            biased;
            () = nap => Some(()),
            () = tokio::task::yield_now() => None,
        }
    }
}

//! One line of the cron table: waits for its next time on the process's clock, runs its job, and waits
//! again.
//!
//! A run that takes longer than its period lets the times in between pass. The clock is read at least
//! once a second, so that one which is set, forwards or back, is noticed.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds};
use service_kit::clock::SharedClock;
use service_kit::shutdown::Shutdown;
use tokio::time::timeout;

use super::{JobError, run_once};

/// Longest time between two readings of the clock.
const READ_PAUSE: Duration = Duration::from_secs(1);

/// A job's name and times.
pub struct Line {
    name: &'static str,
    when: Cron,
    clock: SharedClock,
    shutdown: Shutdown,
}

impl Line {
    /// The line `when`, with seconds, in UTC.
    ///
    /// # Errors
    /// It is no cron expression.
    pub fn read(
        name: &'static str,
        when: &str,
        clock: SharedClock,
        shutdown: Shutdown,
    ) -> Result<Self, CronError> {
        let when = CronParser::builder().seconds(Seconds::Required).build().parse(when)?;
        Ok(Self { name, when, clock, shutdown })
    }

    /// Runs `work` at each of its times until the shutdown.
    pub async fn run<F, W>(self, work: F)
    where
        F: Fn() -> W,
        W: Future<Output = Result<u64, JobError>>,
    {
        while self.time_comes().await {
            run_once(self.name, work()).await;
        }
    }

    /// Waits for the next time; `false`: the process ends.
    async fn time_comes(&self) -> bool {
        let mut since = self.clock.now();
        let mut next = self.next_after(since);
        loop {
            let now = self.clock.now();
            if now < since {
                // Set back: what is next from here comes earlier.
                since = now;
                next = self.next_after(now);
            }
            let Some(next) = next else {
                self.shutdown.requested().await;
                return false;
            };
            let Ok(rest) = (next - now).to_std() else { return true };
            if rest.is_zero() {
                return true;
            }
            tokio::select! {
                () = self.shutdown.requested() => return false,
                // Real time: a clock that is set back must not prolong the pause.
                _ = timeout(READ_PAUSE, self.clock.sleep(rest)) => (),
            }
        }
    }

    fn next_after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.when.find_next_occurrence(&now, false).ok()
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({}: {})", self.name, self.when.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use service_kit::clock::ManualClock;
    use service_kit::shutdown;
    use testkit::eventually;

    use super::*;

    async fn runs(counted: &AtomicU64, times: u64) {
        let reached = || async { (counted.load(Ordering::SeqCst) == times).then_some(()) };
        eventually(Duration::from_secs(20), reached).await;
    }

    #[tokio::test]
    async fn a_line_fires_at_its_times_on_the_processs_clock() {
        let clock = ManualClock::at("2026-11-23T18:39:00Z".parse().unwrap());
        let (trigger, shutdown) = shutdown::pair();
        let nightly = Line::read("nightly", "0 40 18 * * *", clock.shared(), shutdown).unwrap();
        let counted = Arc::new(AtomicU64::new(0));
        let running = tokio::spawn({
            let counted = Arc::clone(&counted);
            nightly.run(move || {
                let counted = Arc::clone(&counted);
                async move { Ok(counted.fetch_add(1, Ordering::SeqCst)) }
            })
        });
        let asleep = || async { (clock.sleepers() == 1).then_some(()) };
        eventually(Duration::from_secs(20), asleep).await;
        assert_eq!(counted.load(Ordering::SeqCst), 0);
        clock.advance(Duration::from_mins(1));
        runs(&counted, 1).await;
        eventually(Duration::from_secs(20), asleep).await;
        // Set over two nights at once: one run, because the job covers what it missed.
        clock.advance(Duration::from_hours(48));
        runs(&counted, 2).await;
        eventually(Duration::from_secs(20), asleep).await;
        // Set back, it fires when its hour comes again.
        clock.set("2026-11-20T18:39:00Z".parse().unwrap());
        eventually(Duration::from_secs(20), || async {
            // Slowly enough that the setting is read before its minute is over.
            clock.advance(Duration::from_millis(300));
            (counted.load(Ordering::SeqCst) == 3).then_some(())
        })
        .await;
        runs(&counted, 3).await;
        trigger.trigger();
        running.await.unwrap();
    }
}

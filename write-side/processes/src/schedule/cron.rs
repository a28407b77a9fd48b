//! A cron table on the process's clock: a job runs when that clock passes the job's next time.
//!
//! A scheduler on the machine's wall clock cannot be moved by a test, and doesn't notice that the
//! clock was set back. Times that passed while a job ran, or while the clock was moved ahead, count
//! once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds};
use service_kit::clock::SharedClock;
use service_kit::shutdown::Shutdown;
use tokio::task::JoinSet;

use super::JobError;
use crate::metrics;
use crate::relay::with_causes;

/// How often the clock is compared with the next time. Patterns are whole seconds.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// Longest run of a job; it is broken off and runs again at its next time.
const JOB_WAIT_MAX: Duration = Duration::from_mins(10);

type Work = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<u64, JobError>> + Send>> + Send>;

/// Jobs and when they run.
pub(super) struct Table {
    clock: SharedClock,
    lines: Vec<Line>,
}

struct Line {
    name: &'static str,
    pattern: Cron,
    work: Work,
}

impl Table {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self { clock, lines: Vec::new() }
    }

    /// Adds a job with a pattern of six fields, seconds first, in UTC.
    ///
    /// # Errors
    /// The pattern is malformed.
    pub(super) fn add<F, R>(
        &mut self,
        name: &'static str,
        pattern: &str,
        work: F,
    ) -> Result<(), CronError>
    where
        F: Fn() -> R + Send + 'static,
        R: Future<Output = Result<u64, JobError>> + Send + 'static,
    {
        let parser = CronParser::builder().seconds(Seconds::Required).build();
        let work: Work = Box::new(move || Box::pin(work()));
        self.lines.push(Line { name, pattern: parser.parse(pattern)?, work });
        Ok(())
    }

    /// Runs every job at its times until `shutdown`.
    pub(super) async fn run(self, shutdown: Shutdown) {
        let mut lines = JoinSet::new();
        for line in self.lines {
            let (clock, shutdown) = (Arc::clone(&self.clock), shutdown.clone());
            lines.spawn(async move {
                tokio::select! {
                    () = line.keep(clock) => {}
                    () = shutdown.requested() => {}
                }
            });
        }
        while lines.join_next().await.is_some() {}
    }
}

impl Line {
    async fn keep(self, clock: SharedClock) {
        let mut seen = clock.now();
        let mut next = self.time_after(seen);
        loop {
            clock.sleep(LOOK_PAUSE).await;
            let now = clock.now();
            if now < seen {
                // The clock was set back: the known time may be hours ahead of the next one.
                next = self.time_after(now);
            }
            seen = now;
            if next.is_some_and(|next| next <= now) {
                run_once(self.name, (self.work)()).await;
                next = self.time_after(clock.now());
            }
        }
    }

    /// The first time after `instant`; none for a pattern that never comes true.
    fn time_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.pattern.find_next_occurrence(&instant, false).ok()
    }
}

async fn run_once(name: &'static str, work: impl Future<Output = Result<u64, JobError>>) {
    match tokio::time::timeout(JOB_WAIT_MAX, work).await {
        Ok(Ok(count)) => {
            metrics::schedule_run(name, "done");
            if 0 < count {
                tracing::info!(job = name, count, "job done");
            }
        }
        Ok(Err(error)) => {
            metrics::schedule_run(name, "failed");
            tracing::warn!(job = name, error = with_causes(&error), "job failed; it runs again");
        }
        Err(_elapsed) => {
            metrics::schedule_run(name, "failed");
            tracing::warn!(job = name, "job took too long; it runs again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use chrono::TimeDelta;
    use service_kit::clock::{BoxFuture, Clock, ManualClock, SystemClock};
    use service_kit::shutdown;
    use testkit::eventually;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);
    const EVERY_NIGHT: &str = "0 40 18 * * *";

    struct Counted {
        clock: ManualClock,
        runs: Arc<AtomicU32>,
        _trigger: shutdown::ShutdownTrigger,
    }

    fn noon() -> DateTime<Utc> {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    /// A table with one job that counts its runs.
    fn counted(pattern: &str) -> Counted {
        let clock = ManualClock::at(noon());
        counted_on(clock.clone(), clock.shared(), pattern)
    }

    fn counted_on(clock: ManualClock, shown: SharedClock, pattern: &str) -> Counted {
        let runs = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&runs);
        let mut table = Table::new(shown);
        table
            .add("counted", pattern, move || {
                counter.fetch_add(1, Ordering::SeqCst);
                std::future::ready(Ok(0))
            })
            .unwrap();
        let (trigger, shutdown) = shutdown::pair();
        tokio::spawn(table.run(shutdown));
        Counted { clock, runs, _trigger: trigger }
    }

    impl Counted {
        /// Moves the clock once the job waits on it.
        async fn advance(&self, by: Duration) {
            eventually(SOON, || async { (0 < self.clock.sleepers()).then_some(()) }).await;
            self.clock.advance(by);
        }

        async fn has_run(&self, times: u32) {
            let runs = || async { (self.runs.load(Ordering::SeqCst) == times).then_some(()) };
            eventually(SOON, runs).await;
        }
    }

    #[tokio::test]
    async fn a_job_runs_once_however_many_of_its_times_have_passed() {
        let counted = counted("0 * * * * *");
        counted.advance(Duration::from_hours(5)).await;
        counted.has_run(1).await;
        counted.advance(Duration::from_mins(1)).await;
        counted.has_run(2).await;
    }

    #[tokio::test]
    async fn a_job_of_the_night_runs_when_the_clock_is_moved_past_its_time() {
        let counted = counted(EVERY_NIGHT);
        counted.advance(Duration::from_hours(6)).await;
        eventually(SOON, || async { (0 < counted.clock.sleepers()).then_some(()) }).await;
        assert_eq!(counted.runs.load(Ordering::SeqCst), 0, "18:00 is before 18:40");
        counted.advance(Duration::from_hours(1)).await;
        counted.has_run(1).await;
    }

    /// A clock that a test moves and whose pauses are real, as in a running process.
    #[derive(Debug)]
    struct RealPauses(ManualClock);

    impl Clock for RealPauses {
        fn now(&self) -> DateTime<Utc> {
            self.0.now()
        }

        fn monotonic(&self) -> Duration {
            self.0.monotonic()
        }

        fn sleep(&self, _pause: Duration) -> BoxFuture<'_, ()> {
            SystemClock.sleep(Duration::from_millis(1))
        }
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_does_not_silence_a_job() {
        let moved = ManualClock::at(noon());
        let counted = counted_on(moved.clone(), Arc::new(RealPauses(moved)), "0 * * * * *");
        counted.clock.advance(Duration::from_mins(1));
        counted.has_run(1).await;

        counted.clock.set(noon() - TimeDelta::hours(3));
        let ran_again = || async {
            counted.clock.advance(Duration::from_secs(10));
            (counted.runs.load(Ordering::SeqCst) == 2).then_some(())
        };
        eventually(SOON, ran_again).await;
        assert!(counted.clock.now() < noon(), "the job waited until the old time came again");
    }
}

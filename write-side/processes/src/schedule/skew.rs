//! How far this process's clock differs from the database's. Instants in the log come from processes,
//! those in the outbox and in receipts from the database: a process whose clock is wrong would expire
//! orders and decline payments that still have time.

use chrono::{DateTime, TimeDelta, Utc};

use super::{JobError, Jobs};
use crate::metrics;

/// Most that the two may differ: a page that has ended is looked up a minute later.
const SKEW_MAX: TimeDelta = TimeDelta::seconds(60);

/// How far a clock is ahead of the database's, known but for half of the time that asking took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Skew {
    ahead: TimeDelta,
    uncertain: TimeDelta,
}

impl Skew {
    /// The database showed `theirs` at some moment between `before` and `after`.
    fn of(before: DateTime<Utc>, theirs: DateTime<Utc>, after: DateTime<Utc>) -> Self {
        let uncertain = (after - before) / 2;
        Self { ahead: before + uncertain - theirs, uncertain }
    }

    /// Whether it differs by more than is allowed, whenever between the two the database answered.
    fn is_too_much(self) -> bool {
        SKEW_MAX + self.uncertain < self.ahead.abs()
    }
}

impl Jobs {
    /// Compares this process's clock with the database's; `false`: it is wrong, alarmed, and nothing
    /// may be done that a wrong clock would destroy. A clock that is set by hand is right.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn is_clock_right(&self) -> Result<bool, JobError> {
        let before = self.clock.now();
        let theirs = self.database_now().await?;
        let skew = Skew::of(before, theirs, self.clock.now());
        let seconds = skew.ahead.as_seconds_f64();
        metrics::clock_skew(seconds);
        let is_wrong = skew.is_too_much() && !self.is_clock_settable;
        if is_wrong {
            tracing::error!(seconds, "this clock differs from the database's; jobs are left out");
        }
        Ok(!is_wrong)
    }

    pub(super) async fn database_now(&self) -> Result<DateTime<Utc>, JobError> {
        let client = self.pool.get().await.map_err(JobError::new)?;
        let row = client.query_one("select clock_timestamp()", &[]).await.map_err(JobError::new)?;
        row.try_get(0).map_err(JobError::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn a_slow_answer_is_no_wrong_clock() {
        for (before, theirs, after, is_wrong) in [
            (0, 0, 0, false),
            (0, 60, 0, false),
            (0, 61, 0, true),
            (61, 0, 61, true),
            // Asked at 0 and answered at 100: anything between is right.
            (0, 100, 100, false),
            (0, 161, 100, true),
        ] {
            let skew = Skew::of(at(before), at(theirs), at(after));
            assert_eq!(skew.is_too_much(), is_wrong, "{before} {theirs} {after}");
        }
    }
}

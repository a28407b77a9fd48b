//! How far a process's clock differs from the database's. Instants in the log come from processes,
//! those in the outbox and in receipts from the database: a process whose clock is wrong would expire
//! orders, refuse returns and decline payments that still have time.

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::{Pool, PoolError};

use crate::clock::Clock;

/// Most that the two may differ: a page that has ended is looked up a minute later.
const SKEW_MAX: TimeDelta = TimeDelta::seconds(60);

/// How far a clock is ahead of the database's, known but for half of the time that asking took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    ahead: TimeDelta,
    uncertain: TimeDelta,
}

impl Skew {
    /// Compares `clock` with the database's.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn measure(clock: &dyn Clock, pool: &Pool) -> Result<Self, PoolError> {
        let client = pool.get().await?;
        let before = clock.now();
        let row = client.query_one("select clock_timestamp()", &[]).await?;
        Ok(Self::of(before, row.try_get(0)?, clock.now()))
    }

    /// The database showed `theirs` at some moment between `before` and `after`.
    fn of(before: DateTime<Utc>, theirs: DateTime<Utc>, after: DateTime<Utc>) -> Self {
        let uncertain = (after - before) / 2;
        Self { ahead: before + uncertain - theirs, uncertain }
    }

    /// Seconds ahead of the database's clock; behind is negative.
    pub fn seconds(self) -> f64 {
        self.ahead.as_seconds_f64()
    }

    /// Whether it differs by more than is allowed, whenever between the two the database answered.
    pub fn is_too_much(self) -> bool {
        SKEW_MAX + self.uncertain < self.ahead.abs()
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

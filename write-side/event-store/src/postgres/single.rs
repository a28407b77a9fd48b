//! One command in its own call, and what became of it when the answer is lost.

use std::time::{Duration, Instant};

use contracts::Position;
use deadpool_postgres::Pool;
use service_kit::clock::{Clock as _, SystemClock};

use crate::append::{Append, Outcome};
use crate::error::{AppendError, StoreError};
use crate::metrics::LOST_ANSWERS;

use super::call::{self, ANSWER_WAIT_MAX, Failure};

/// How long a lost answer is asked for before the outcome is called unknown.
const RESOLVE_WAIT_MAX: Duration = Duration::from_secs(5);
/// Pause between two questions about a lost answer.
const RESOLVE_PAUSE: Duration = Duration::from_millis(50);

/// Sends one command at a time.
#[derive(Clone)]
pub(super) struct Single {
    pool: Pool,
}

impl Single {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool }
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Sends `append` and, if need be, finds out what became of it.
    pub(super) async fn append(&self, append: &Append) -> Result<Outcome, AppendError> {
        match call::append(&self.pool, append, ANSWER_WAIT_MAX).await {
            Ok(outcome) => Ok(outcome),
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::RolledBack) => Err(AppendError::Conflict),
            Err(Failure::NotSent(error)) => Err(AppendError::Store(error)),
            Err(Failure::Lost(error)) => {
                tracing::warn!(error = %error, "the answer to an append was lost; asking again");
                self.resolve(append).await
            }
        }
    }

    /// Finds out what became of an append whose answer was lost, by sending the very same one again:
    /// if the first was committed, the second meets its events or its receipt and knows them by the
    /// command id; if it wasn't, the second writes, and the first can no longer be committed; if it is
    /// still under way, the second waits for it at the primary key.
    ///
    /// A refusal of the event log's own (version, name, key) excludes the first append too, unless it
    /// was committed before what the refusal is about; so the log is asked for its events. Any other
    /// failure of the second says nothing of the first, which may still be under way: it is sent once
    /// more, until [`RESOLVE_WAIT_MAX`] is over and the outcome is unknown.
    pub(super) async fn resolve(&self, append: &Append) -> Result<Outcome, AppendError> {
        let started = Instant::now();
        loop {
            // A network that hangs must not make one question last longer than all may.
            let left = RESOLVE_WAIT_MAX.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(found("unknown", AppendError::Store(StoreError::OutcomeUnknown)));
            }
            match call::append(&self.pool, append, left).await {
                Ok(Outcome::Replayed(stored)) if stored.command_id == append.command_id => {
                    return Ok(found("committed", Outcome::Written(stored.positions)));
                }
                Ok(outcome) => return Ok(found("rolled_back", outcome)),
                Err(Failure::Refused(AppendError::Store(error))) if !error.is_undecodable() => {
                    tracing::debug!(error = ?error, "a question about a lost answer was refused");
                }
                Err(Failure::Refused(refusal)) => match self.own_positions(append).await {
                    Ok(positions) if positions.is_empty() => {
                        return Err(found("rolled_back", refusal));
                    }
                    Ok(positions) => return Ok(found("committed", Outcome::Written(positions))),
                    Err(error) => tracing::debug!(error = %error, "still no answer"),
                },
                Err(Failure::RolledBack | Failure::NotSent(_) | Failure::Lost(_)) => {}
            }
            SystemClock.sleep(RESOLVE_PAUSE).await;
        }
    }

    /// Where the events of `append` lie; all of them or none.
    async fn own_positions(&self, append: &Append) -> Result<Vec<Position>, StoreError> {
        let rows = call::query(
            &self.pool,
            include_str!("own_events.sql"),
            &[
                &append.aggregate_type,
                &append.aggregate_id.to_string(),
                &call::signed(append.expected_version),
                &call::signed(append.version_after()),
                &append.command_id,
            ],
        )
        .await?;
        rows.iter()
            .map(|row| row.try_get(0).map(Position::new))
            .collect::<Result<_, _>>()
            .map_err(|error| StoreError::Database(Box::new(error)))
    }
}

/// Counts what a lost answer turned out to be.
fn found<T>(outcome: &'static str, answer: T) -> T {
    metrics::counter!(LOST_ANSWERS, "outcome" => outcome).increment(1);
    answer
}

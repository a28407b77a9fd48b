//! Reads settled events in order.

use contracts::{Position, RecordedEvent};
use deadpool_postgres::Pool;
use tokio_postgres::Row;

use crate::error::FeedError;

/// Positions that one filtered read walks at most: an index range of this size takes milliseconds,
/// however few of its rows match.
pub const FILTERED_SPAN_MAX: i64 = 20_000;

/// Which events a reader wants. Empty lists want all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Kinds of aggregate: `order`, `cart`, …
    pub aggregate_types: Vec<String>,
    /// Names of events: `OrderPlaced`, …
    pub event_types: Vec<String>,
}

impl Filter {
    /// Wants every event.
    pub fn all() -> Self {
        Self::default()
    }

    /// Wants the events of these kinds of aggregate.
    pub fn aggregates(types: &[&str]) -> Self {
        Self { aggregate_types: owned(types), event_types: Vec::new() }
    }

    /// Wants the events with these names.
    pub fn events(types: &[&str]) -> Self {
        Self { aggregate_types: Vec::new(), event_types: owned(types) }
    }

    fn wants_all(&self) -> bool {
        self.aggregate_types.is_empty() && self.event_types.is_empty()
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What one read found.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The wanted events, by position.
    pub events: Vec<RecordedEvent>,
    /// Up to where the log is settled.
    pub safe: Position,
    /// The checkpoint to store: every wanted event up to here is in this batch or an earlier one.
    pub through: Position,
}

impl Batch {
    /// Whether there was nothing more to read. If not, read again at once.
    pub fn is_caught_up(&self) -> bool {
        self.safe <= self.through
    }
}

/// Reads settled events in order. Keeps no checkpoint: its caller does.
#[derive(Debug, Clone)]
pub struct FeedReader {
    pool: Pool,
}

impl FeedReader {
    /// A reader over the database of `pool`.
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// At most `limit` wanted events after `after`, oldest first. One round trip.
    ///
    /// # Errors
    /// [`FeedError`]; the checkpoint stays good.
    pub async fn read(
        &self,
        after: Position,
        filter: &Filter,
        limit: u32,
    ) -> Result<Batch, FeedError> {
        let failed = |source| FeedError::Read { after, source };
        let client = self.pool.get().await?;
        let horizon = after.number().saturating_add(FILTERED_SPAN_MAX);
        let rows = if filter.wants_all() {
            let statement = include_str!("sql/read_events.sql");
            let statement = client.prepare_cached(statement).await.map_err(failed)?;
            client.query(&statement, &[&after.number(), &i64::from(limit)]).await
        } else {
            let statement = include_str!("sql/read_events_filtered.sql");
            let statement = client.prepare_cached(statement).await.map_err(failed)?;
            client
                .query(
                    &statement,
                    &[
                        &after.number(),
                        &i64::from(limit),
                        &filter.aggregate_types,
                        &filter.event_types,
                        &horizon,
                    ],
                )
                .await
        };
        let rows = rows.map_err(failed)?;
        let Some(first) = rows.first() else {
            return Err(FeedError::NoSafeRow);
        };
        let safe = Position::new(first.try_get("safe").map_err(failed)?);
        // Without events there is one row that holds the safe position alone.
        let empty = first.try_get::<_, Option<i64>>("position").map_err(failed)?.is_none();
        let events = if empty { Vec::new() } else { recorded(&rows, after)? };
        let is_full = limit as usize <= events.len();
        let through = match events.last() {
            Some(last) if is_full => last.position,
            Some(_) | None if filter.wants_all() => safe,
            Some(_) | None => safe.min(Position::new(horizon)),
        };
        // A checkpoint never moves back, even when the safe position was read late.
        Ok(Batch { events, safe, through: through.max(after) })
    }
}

fn recorded(rows: &[Row], after: Position) -> Result<Vec<RecordedEvent>, FeedError> {
    rows.iter().map(|row| recorded_event(row, after)).collect()
}

fn recorded_event(row: &Row, after: Position) -> Result<RecordedEvent, FeedError> {
    let failed = |source| FeedError::Read { after, source };
    let position = Position::new(row.try_get("position").map_err(failed)?);
    let stream: &str = row.try_get("aggregate_id").map_err(failed)?;
    Ok(RecordedEvent {
        position,
        aggregate_type: row.try_get("aggregate_type").map_err(failed)?,
        aggregate_id: stream.parse().map_err(|source| FeedError::StreamId { position, source })?,
        sequence: row.try_get("sequence").map_err(failed)?,
        event_type: row.try_get("event_type").map_err(failed)?,
        event_version: row.try_get("event_version").map_err(failed)?,
        payload: row.try_get("payload").map_err(failed)?,
        metadata: row.try_get("metadata").map_err(failed)?,
        recorded_at: row.try_get("recorded_at").map_err(failed)?,
    })
}

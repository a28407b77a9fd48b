//! Events that could not be folded, and those waiting behind them: looking, trying again, giving up.
//!
//! Trying again folds an aggregate's parked events in order under the same lock as live batches, so
//! that the projector may go on meanwhile. Giving one up is an operator's word; those behind it are
//! then folded by the next try. An event that was given up is remembered: every replay leaves it out.

use std::collections::HashSet;

use contracts::RecordedEvent;
use deadpool_postgres::{Pool, Transaction};
use serde::Serialize;
use service_kit::causes::with_causes;

use crate::batch::{self, Target};
use crate::config::ProjectorConfig;
use crate::error::ProjectionError;
use crate::versions;
use crate::working::{Incoming, Model};

/// Events that a list shows.
pub const LISTED_MAX: i64 = 1_000;

/// One event that is set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParkedEvent {
    /// The projection.
    pub name: String,
    /// Its version.
    pub version: i32,
    /// Place of the event in the log.
    pub position: i64,
    /// The kind of its aggregate.
    pub aggregate_type: String,
    /// Its aggregate.
    pub aggregate_id: String,
    /// Its stored name.
    pub event_type: String,
    /// Why it could not be folded; none when it only waits behind one that could not.
    pub error: Option<String>,
}

/// The parked events of `name`, or of all projections, oldest first; at most [`LISTED_MAX`].
///
/// # Errors
/// [`ProjectionError`].
pub async fn parked(
    config: &ProjectorConfig,
    name: Option<&str>,
) -> Result<Vec<ParkedEvent>, ProjectionError> {
    listed(config, name, false).await
}

/// As [`parked`], of those that were given up.
///
/// # Errors
/// [`ProjectionError`].
pub async fn given_up(
    config: &ProjectorConfig,
    name: Option<&str>,
) -> Result<Vec<ParkedEvent>, ProjectionError> {
    listed(config, name, true).await
}

async fn listed(
    config: &ProjectorConfig,
    name: Option<&str>,
    is_given_up: bool,
) -> Result<Vec<ParkedEvent>, ProjectionError> {
    let client = config.pool()?.get().await?;
    let statement = include_str!("sql/parked.sql");
    let rows = client.query(statement, &[&name, &LISTED_MAX, &is_given_up]).await?;
    rows.iter()
        .map(|row| {
            Ok(ParkedEvent {
                name: row.try_get(0)?,
                version: row.try_get(1)?,
                position: row.try_get(2)?,
                aggregate_type: row.try_get(3)?,
                aggregate_id: row.try_get(4)?,
                event_type: row.try_get(5)?,
                error: row.try_get(6)?,
            })
        })
        .collect()
}

/// What a [`retry`] came to, in all versions together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retried {
    /// Events that were folded.
    pub folded: u64,
    /// Events that are still parked.
    pub left: u64,
    /// Aggregates whose rows the database refuses; their events are among those left.
    pub refused: u64,
}

/// Folds the parked events of `name` again, in every version that is followed. An aggregate whose rows
/// the database refuses keeps its events, with the error on the first, and delays no other.
///
/// # Errors
/// [`ProjectionError`]; aggregates done before stay done.
pub async fn retry(config: &ProjectorConfig, name: &str) -> Result<Retried, ProjectionError> {
    let (model, pool) = (crate::find(name)?, config.patient_pool()?);
    let mut retried = Retried::default();
    for version in versions::of(&pool, model).await? {
        if !version.state.is_followed() || version.shape != model.shape() {
            continue;
        }
        for (kind, id) in streams(&pool, name, version.version).await? {
            match retry_stream(&pool, model, version.version, &kind, &id).await {
                Ok((folded, left)) => {
                    retried.folded += folded;
                    retried.left += left;
                }
                Err(error) if error.is_about_data() => {
                    let reason = with_causes(&error);
                    let version = version.version;
                    retried.left +=
                        note_refusal(&pool, name, version, (&kind, &id), &reason).await?;
                    retried.refused += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(retried)
}

/// Replaces the reason of an aggregate's first parked event; how many are parked.
async fn note_refusal(
    pool: &Pool,
    name: &str,
    version: i32,
    (kind, id): (&str, &str),
    reason: &str,
) -> Result<u64, ProjectionError> {
    let client = pool.get().await?;
    let noted = include_str!("sql/note_refusal.sql");
    Ok(client.execute(noted, &[&name, &version, &kind, &id, &reason]).await?)
}

/// Gives up the parked event of `name` at `position`: it is never folded, by no later version either.
/// Those behind it are, by the next [`retry`]. Returns in how many versions it was parked.
///
/// # Errors
/// [`ProjectionError::NotParked`] when it is parked in none; others.
pub async fn give_up(
    config: &ProjectorConfig,
    name: &str,
    position: i64,
) -> Result<u64, ProjectionError> {
    let (model, pool) = (crate::find(name)?, config.pool()?);
    let client = pool.get().await?;
    let dropped = client
        .execute(
            "update parked_event set given_up_at = clock_timestamp() \
             where name = $1 and position = $2 and given_up_at is null",
            &[&model.name(), &position],
        )
        .await?;
    if dropped == 0 {
        return Err(ProjectionError::NotParked { name: name.to_owned(), position });
    }
    tracing::warn!(projection = model.name(), position, "a parked event was given up");
    Ok(dropped)
}

/// Where the events are that were given up in any version of `name`.
pub(crate) async fn given_up_positions(
    pool: &Pool,
    name: &str,
) -> Result<HashSet<i64>, ProjectionError> {
    let client = pool.get().await?;
    let statement = "select position from parked_event where name = $1 and given_up_at is not null";
    let rows = client.query(statement, &[&name]).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// Copies what was given up in earlier versions of `name` to `version`, so that it is remembered
/// after those are dropped.
pub(crate) async fn keep_given_up(
    pool: &Pool,
    name: &str,
    version: i32,
) -> Result<(), ProjectionError> {
    let client = pool.get().await?;
    client.execute(include_str!("sql/keep_given_up.sql"), &[&name, &version]).await?;
    Ok(())
}

/// Events that a version sets aside and the served one does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewlyParkedEvents {
    /// Events that the version sets aside.
    pub parked: i64,
    /// Events that the served version sets aside.
    pub served: i64,
    /// Those of the version that the served one does not set aside: more than 0.
    pub newly: i64,
    /// Place of the first of them in the log.
    pub first: i64,
}

/// What `version` of `name` sets aside and the served version does not; `None` when that is nothing.
pub(crate) async fn newly_parked(
    pool: &Pool,
    name: &str,
    version: i32,
) -> Result<Option<NewlyParkedEvents>, ProjectionError> {
    let client = pool.get().await?;
    let row = client.query_one(include_str!("sql/newly_parked.sql"), &[&name, &version]).await?;
    let first: Option<i64> = row.try_get(3)?;
    let Some(first) = first else { return Ok(None) };
    let (parked, served, newly) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok(Some(NewlyParkedEvents { parked, served, newly, first }))
}

async fn streams(
    pool: &Pool,
    name: &str,
    version: i32,
) -> Result<Vec<(String, String)>, ProjectionError> {
    let client = pool.get().await?;
    let rows = client.query(include_str!("sql/parked_streams.sql"), &[&name, &version]).await?;
    Ok(rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<_, tokio_postgres::Error>>()?)
}

async fn retry_stream(
    pool: &Pool,
    model: &'static dyn Model,
    version: i32,
    kind: &str,
    id: &str,
) -> Result<(u64, u64), ProjectionError> {
    let mut client = pool.get().await?;
    let tx = client.transaction().await?;
    // The lock that every live batch takes first: its rows and ours are read and written in turn.
    tx.execute(
        "select 1 from projection_shard where name = $1 and version = $2 for update",
        &[&model.name(), &version],
    )
    .await?;
    let events = parked_events_in_tx(&tx, model.name(), version, kind, id).await?;
    let target = Target::new(model, version);
    let mut working = model.working(false);
    let none = HashSet::new();
    let aside = batch::fold_loaded_in_tx(&tx, &target, working.as_mut(), &events, &none).await?;
    let stored = |source| ProjectionError::Stored { name: model.name(), source };
    for (table, changes) in target.tables.iter().zip(working.changes().map_err(stored)?) {
        table.write_in_tx(&tx, &changes).await?;
    }
    // The reason moves with the aggregate's first event: the one before may have been given up.
    batch::explain_in_tx(&tx, model.name(), version, &events, &aside).await?;
    let still: HashSet<usize> = aside.iter().map(|it| it.index).collect();
    let folded: Vec<i64> = events
        .iter()
        .enumerate()
        .filter(|(index, _)| !still.contains(index))
        .map(|(_, event)| event.position)
        .collect();
    tx.execute(
        "delete from parked_event where name = $1 and version = $2 and position = any ($3)",
        &[&model.name(), &version, &folded],
    )
    .await?;
    tx.commit().await?;
    Ok((folded.len() as u64, still.len() as u64))
}

async fn parked_events_in_tx(
    tx: &Transaction<'_>,
    name: &str,
    version: i32,
    kind: &str,
    id: &str,
) -> Result<Vec<Incoming>, ProjectionError> {
    let rows =
        tx.query(include_str!("sql/parked_events.sql"), &[&name, &version, &kind, &id]).await?;
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        let stream: String = row.try_get(2)?;
        let Ok(aggregate_id) = stream.parse() else {
            continue;
        };
        events.push(Incoming::of(RecordedEvent {
            position: contracts::Position::new(row.try_get(0)?),
            aggregate_type: row.try_get(1)?,
            aggregate_id,
            sequence: row.try_get(3)?,
            event_type: row.try_get(4)?,
            event_version: row.try_get(5)?,
            payload: row.try_get(6)?,
            metadata: serde_json::Value::Null,
            recorded_at: row.try_get(7)?,
        }));
    }
    Ok(events)
}

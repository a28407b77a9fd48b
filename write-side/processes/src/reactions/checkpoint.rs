//! Checkpoints of reactions, and the place for events that a reaction could not handle.

use std::collections::HashSet;

use contracts::{Position, RecordedEvent};
use deadpool_postgres::{GenericClient, Pool, Transaction};

use super::ReactionError;
use crate::metrics;

/// Why an event is parked that could be handled by itself.
pub const BEHIND_PARKED: &str = "an earlier event of this stream is parked";
/// Longest text kept of an error.
const ERROR_LENGTH_MAX: usize = 500;

/// How far `name` has come; the beginning when it has never run.
///
/// # Errors
/// The database is away.
pub async fn read(pool: &Pool, name: &str) -> Result<Position, ReactionError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(include_str!("sql/read_checkpoint.sql")).await?;
    let row = client.query_opt(&statement, &[&name]).await?;
    let position = row.map(|row| row.try_get(0)).transpose()?;
    Ok(position.map_or(Position::START, Position::new))
}

/// How far `name` has come, held until the transaction ends: nobody else applies its batches.
///
/// # Errors
/// The database is away.
pub async fn lock_in_tx(tx: &Transaction<'_>, name: &str) -> Result<Position, ReactionError> {
    let begin = tx.prepare_cached(include_str!("sql/begin_checkpoint.sql")).await?;
    tx.execute(&begin, &[&name]).await?;
    let lock = tx.prepare_cached(include_str!("sql/lock_checkpoint.sql")).await?;
    let row = tx.query_one(&lock, &[&name]).await?;
    Ok(Position::new(row.try_get(0)?))
}

/// Moves the checkpoint of `name` forward.
///
/// # Errors
/// The database is away.
pub async fn move_to(
    client: &impl GenericClient,
    name: &str,
    to: Position,
) -> Result<(), ReactionError> {
    let begin = client.prepare_cached(include_str!("sql/begin_checkpoint.sql")).await?;
    client.execute(&begin, &[&name]).await?;
    let move_on = client.prepare_cached(include_str!("sql/move_checkpoint.sql")).await?;
    client.execute(&move_on, &[&name, &to.number()]).await?;
    Ok(())
}

/// Whether an earlier event of the same stream was set aside for `name`.
///
/// # Errors
/// The database is away.
pub async fn is_stream_parked(
    client: &impl GenericClient,
    name: &str,
    event: &RecordedEvent,
) -> Result<bool, ReactionError> {
    let (stream, position) = (event.aggregate_id.to_string(), event.position.number());
    let statement = client.prepare_cached(include_str!("sql/is_parked.sql")).await?;
    let row = client.query_one(&statement, &[&name, &stream, &position]).await?;
    Ok(row.try_get(0)?)
}

/// The streams of `events` of which something was set aside for `name`, ever so late.
///
/// # Errors
/// The database is away.
pub async fn parked_among(
    client: &impl GenericClient,
    name: &str,
    events: &[RecordedEvent],
) -> Result<HashSet<String>, ReactionError> {
    if events.is_empty() {
        return Ok(HashSet::new());
    }
    let streams: Vec<String> = events.iter().map(|event| event.aggregate_id.to_string()).collect();
    let statement = client.prepare_cached(include_str!("sql/parked_among.sql")).await?;
    let rows = client.query(&statement, &[&name, &streams]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Sets `event` aside for `name` and raises the alarm.
///
/// # Errors
/// The database is away; then it was not set aside.
pub async fn park(
    client: &impl GenericClient,
    name: &'static str,
    event: &RecordedEvent,
    error: &str,
) -> Result<(), ReactionError> {
    let (position, stream) = (event.position.number(), event.aggregate_id.to_string());
    let text: String = error.chars().take(ERROR_LENGTH_MAX).collect();
    let (kind, event_type) = (&event.aggregate_type, &event.event_type);
    client
        .execute(
            include_str!("sql/park.sql"),
            &[&name, &position, kind, &stream, event_type, &text],
        )
        .await?;
    metrics::reaction_parked(name);
    let request_id = event.metadata.get("correlation_id").and_then(|id| id.as_str());
    tracing::error!(
        reaction = name,
        position,
        stream,
        event_type,
        request_id,
        error,
        "event set aside"
    );
    Ok(())
}

/// The events set aside for `name` that an operator wants handled once more, oldest first.
///
/// # Errors
/// The database is away.
pub async fn asked_again(pool: &Pool, name: &str) -> Result<Vec<Position>, ReactionError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(include_str!("sql/asked_again.sql")).await?;
    let rows = client.query(&statement, &[&name]).await?;
    rows.iter().map(|row| Ok(Position::new(row.try_get(0)?))).collect()
}

/// An event that was set aside has been handled.
///
/// # Errors
/// The database is away; then it is handled again, which is harmless.
pub async fn unpark(pool: &Pool, name: &str, event: &RecordedEvent) -> Result<(), ReactionError> {
    let position = event.position.number();
    pool.get().await?.execute(include_str!("sql/unpark.sql"), &[&name, &position]).await?;
    tracing::info!(reaction = name, position, "an event set aside was handled");
    Ok(())
}

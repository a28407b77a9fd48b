//! One call of `append_events_after`, and what its failure means: refused, rolled back, not sent, or
//! lost on the way.

use std::time::Duration;

use contracts::{Claim, Position};
use deadpool_postgres::{Client, Object, Pool};
use postgres_types::ToSql;
use serde_json::Value;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::error::{DbError, SqlState};
use uuid::Uuid;

use crate::append::{Append, Outcome, StoredReceipt};
use crate::error::{AppendError, StoreError};

use super::json_text::JsonText;

/// Longest wait for an answer. Above every statement timeout in use: the server gives up first, and
/// says so. With the wait for a connection and the questions about a lost answer still below the
/// time that a server lets requests finish in (`service_kit::http::DRAIN_WAIT_MAX`).
pub(super) const ANSWER_WAIT_MAX: Duration = Duration::from_secs(7);

/// SQLSTATEs of our schema; `V001__event_log.sql` lists them.
const VERSION_CONFLICT: &str = "PV001";
const NAME_TAKEN: &str = "PV002";
const RECEIPT_REUSED: &str = "PV003";

/// Why a call of `append_events_after` or `append_pack_after` did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The database said no, and nothing was written.
    Refused(AppendError),
    /// Rolled back because it met another transaction: nothing was written, and nothing is known of
    /// the stream. To be decided again, as after a conflict.
    RolledBack,
    /// There was no connection to send it on: nothing was written.
    NotSent(StoreError),
    /// Sent, and no answer: it may or may not have been committed.
    Lost(Box<dyn std::error::Error + Send + Sync>),
}

/// Sends `append` once and waits for the answer for at most `wait_max`.
pub(super) async fn append(
    pool: &Pool,
    append: &Append,
    wait_max: Duration,
) -> Result<Outcome, Failure> {
    let client = client(pool).await.map_err(Failure::NotSent)?;
    match timeout(wait_max, send(&client, append)).await {
        Ok(Ok(row)) => outcome(&row, append),
        Ok(Err(error)) => Err(failure(client, error)),
        Err(elapsed) => {
            // Nobody may be handed a connection on which an old answer can still arrive.
            drop(Object::take(client));
            Err(Failure::Lost(Box::new(elapsed)))
        }
    }
}

async fn send(client: &Client, append: &Append) -> Result<Row, tokio_postgres::Error> {
    let statement = client.prepare_cached(include_str!("append_events.sql")).await?;
    let event_types: Vec<&str> = append.events.iter().map(|e| e.event_type).collect();
    let event_versions: Vec<String> =
        append.events.iter().map(|e| e.event_version.to_string()).collect();
    let payloads: Vec<_> = append.events.iter().map(|e| JsonText(&e.payload)).collect();
    let outbox = Outbox::of(append);
    let claims = Claims::of(append);
    let receipt = append.receipt.as_ref();
    let keep_for = receipt.map(|r| signed(r.keep_for.as_secs()));
    let parameters: [&(dyn ToSql + Sync); 23] = [
        &append.command_id,
        &append.aggregate_type,
        &append.aggregate_id.to_string(),
        &signed(append.expected_version),
        &append.predecessor,
        &event_types,
        &event_versions,
        &payloads,
        &JsonText(&append.metadata),
        &outbox.as_ref().map(|o| &o.ids),
        &outbox.as_ref().map(|o| &o.sequences),
        &outbox.as_ref().map(|o| &o.indexes),
        &outbox.as_ref().map(|o| &o.kinds),
        &outbox.as_ref().map(|o| &o.payloads),
        &append.correlation_id,
        &claims.as_ref().map(|c| &c.kinds),
        &claims.as_ref().map(|c| &c.names),
        &claims.as_ref().map(|c| &c.takes),
        &receipt.map(|r| &r.scope),
        &receipt.map(|r| &r.key),
        &receipt.map(|r| &r.request_digest),
        &keep_for,
        &receipt.map(|r| &r.result),
    ];
    client.query_one(&statement, &parameters).await
}

#[derive(Default)]
struct Outbox<'a> {
    ids: Vec<Uuid>,
    sequences: Vec<i64>,
    indexes: Vec<i32>,
    kinds: Vec<&'a str>,
    payloads: Vec<JsonText<'a>>,
}

impl<'a> Outbox<'a> {
    fn of(append: &'a Append) -> Option<Self> {
        if append.outbox.is_empty() {
            return None;
        }
        let mut columns = Self::default();
        for row in &append.outbox {
            columns.ids.push(row.id);
            columns.sequences.push(signed(row.sequence));
            columns.indexes.push(i32::try_from(row.effect_index).unwrap_or(i32::MAX));
            columns.kinds.push(row.kind);
            columns.payloads.push(JsonText(&row.payload));
        }
        Some(columns)
    }
}

#[derive(Default)]
struct Claims<'a> {
    kinds: Vec<&'a str>,
    names: Vec<&'a str>,
    takes: Vec<bool>,
}

impl<'a> Claims<'a> {
    fn of(append: &'a Append) -> Option<Self> {
        if append.claims.is_empty() {
            return None;
        }
        let mut columns = Self::default();
        for claim in &append.claims {
            let (kind, name, takes) = match claim {
                Claim::Take { kind, name } => (kind, name, true),
                Claim::Release { kind, name } => (kind, name, false),
            };
            columns.kinds.push(kind);
            columns.names.push(name);
            columns.takes.push(takes);
        }
        Some(columns)
    }
}

fn outcome(row: &Row, append: &Append) -> Result<Outcome, Failure> {
    let unreadable = |error| Failure::Lost(Box::new(error));
    let positions: Vec<i64> = row.try_get(0).map_err(unreadable)?;
    let positions: Vec<Position> = positions.into_iter().map(Position::new).collect();
    let replayed_by: Option<Uuid> = row.try_get(1).map_err(unreadable)?;
    let Some(command_id) = replayed_by else {
        if positions.len() != append.events.len() {
            // Written, but not what was sent: an operator has to look before anything goes on.
            return Err(Failure::Refused(AppendError::Store(StoreError::Corrupt {
                stream: format!("{}/{}", append.aggregate_type, append.aggregate_id),
                what: "fewer positions came back than events went in",
            })));
        }
        return Ok(Outcome::Written(positions));
    };
    Ok(Outcome::Replayed(StoredReceipt {
        // Equal, or the function would have refused.
        request_digest: append
            .receipt
            .as_ref()
            .map(|r| r.request_digest.clone())
            .unwrap_or_default(),
        command_id,
        first_version: unsigned(row.try_get(2).map_err(unreadable)?),
        last_version: unsigned(row.try_get(3).map_err(unreadable)?),
        positions,
        result: row.try_get(4).map_err(unreadable)?,
    }))
}

/// Reads a row of `receipt.sql`.
pub(super) fn stored_receipt(row: &Row) -> Result<StoredReceipt, tokio_postgres::Error> {
    let positions: Vec<i64> = row.try_get("positions")?;
    Ok(StoredReceipt {
        request_digest: row.try_get("request_digest")?,
        command_id: row.try_get("command_id")?,
        first_version: unsigned(row.try_get("first_version")?),
        last_version: unsigned(row.try_get("last_version")?),
        positions: positions.into_iter().map(Position::new).collect(),
        result: row.try_get::<_, Value>("result")?,
    })
}

/// What the end of a call without an answer means.
pub(super) fn failure(client: Client, error: tokio_postgres::Error) -> Failure {
    let Some(said) = error.as_db_error() else {
        // The connection broke, or what came over it made no sense: don't use it again.
        drop(Object::take(client));
        return Failure::Lost(Box::new(error));
    };
    if let Some(refusal) = refusal(said) {
        return Failure::Refused(refusal);
    }
    if [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE].contains(said.code())
    {
        return Failure::RolledBack;
    }
    // A server that is told to stop may have committed already and only not said so.
    if said.code().code().starts_with("57P") || said.code().code().starts_with("08") {
        drop(Object::take(client));
        return Failure::Lost(Box::new(error));
    }
    Failure::Refused(AppendError::Store(StoreError::Database(Box::new(error))))
}

/// What the database refused, when it is ours to know. A unique violation is not among them:
/// whatever table it comes from, it is no version conflict.
fn refusal(said: &DbError) -> Option<AppendError> {
    match said.code().code() {
        VERSION_CONFLICT => Some(AppendError::Conflict),
        NAME_TAKEN => Some(AppendError::ClaimTaken {
            kind: said.constraint().unwrap_or_default().to_owned(),
            name: said.detail().unwrap_or_default().to_owned(),
        }),
        RECEIPT_REUSED => Some(AppendError::KeyReused),
        // Cancelled before its commit, by the statement's own time limit.
        code if code == SqlState::QUERY_CANCELED.code() => {
            Some(AppendError::Store(StoreError::Unavailable(Box::new(Overtime))))
        }
        _ => None,
    }
}

/// The server gave a statement up.
#[derive(Debug, thiserror::Error)]
#[error("the statement ran out of time")]
struct Overtime;

/// A connection of the pool.
pub(super) async fn client(pool: &Pool) -> Result<Client, StoreError> {
    pool.get().await.map_err(|error| StoreError::Unavailable(Box::new(error)))
}

/// Runs a question whose repetition is harmless.
pub(super) async fn query(
    pool: &Pool,
    statement: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, StoreError> {
    let client = client(pool).await?;
    let answer = async {
        let prepared = client.prepare_cached(statement).await?;
        client.query(&prepared, parameters).await
    };
    match timeout(ANSWER_WAIT_MAX, answer).await {
        Ok(Ok(rows)) => Ok(rows),
        Ok(Err(error)) if error.as_db_error().is_some() => {
            Err(StoreError::Database(Box::new(error)))
        }
        Ok(Err(error)) => Err(StoreError::Unavailable(Box::new(error))),
        Err(elapsed) => {
            drop(Object::take(client));
            Err(StoreError::Unavailable(Box::new(elapsed)))
        }
    }
}

/// A count of ours as PostgreSQL's bigint.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

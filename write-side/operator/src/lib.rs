//! What waits for a person: rows of the outbox, events that reactions set aside, payments without an
//! outcome, refunds that are owed, recurring keys that are missing, and differences from the gateway's
//! books. Shows them, and writes down what is to be done
//! about what gave up, with who said so.
//!
//! Nothing here calls the gateway or an aggregate: relay and reactions do, as ever. What may
//! have been sent is looked up again after `retry` and `release`, never repeated blindly. Needs the
//! database alone, so that whoever faces people can use it without all that moves money.

mod books;
mod interventions;
mod keys;
mod refunds;

use chrono::{DateTime, Utc};
use deadpool_postgres::{Pool, PoolError};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

pub use self::books::{LOOK_UP_AFTER, OpenDifference, OpenPayment};
pub use self::interventions::{By, Intervened, Intervention};
pub use self::keys::{MissingKey, MissingKeyCounts};
pub use self::refunds::{OpenRefund, REFUND_OVERDUE_AFTER, RefundCounts};

/// A row as an operator sees it. Nothing secret: tokens are sealed and left out.
#[derive(Debug, Clone, Serialize)]
pub struct RowView {
    /// The row.
    pub id: Uuid,
    /// The stream that asked for it, as `type/id`.
    pub stream: String,
    /// The event of the stream that asked for it.
    pub sequence: i64,
    /// The sort of call.
    pub kind: String,
    /// `ready`, `in_flight`, `waiting`, `unknown`, `dead`, `held` or `done`.
    pub state: String,
    /// Tries so far.
    pub attempt: i32,
    /// When it is tried next.
    pub not_before: DateTime<Utc>,
    /// Which worker has it.
    pub lease_owner: Option<String>,
    /// Until when.
    pub lease_until: Option<DateTime<Utc>>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// The request id of the chain; only in the view of one row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// What was sent, without secrets; only in the view of one row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Value>,
    /// What came of it; only in the view of one row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Value>,
    /// What people did about it, oldest first; only in the view of one row.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interventions: Vec<Intervened>,
}

/// An event that a reaction set aside.
#[derive(Debug, Clone, Serialize)]
pub struct ParkedView {
    /// The reaction.
    pub name: String,
    /// Where the event lies in the log.
    pub position: i64,
    /// Its stream, as `type/id`.
    pub stream: String,
    /// Its name.
    pub event_type: String,
    /// Why it could not be handled.
    pub error: String,
    /// How often it was tried.
    pub attempts: i32,
    /// Whether it is about to be tried again.
    pub retry_asked: bool,
    /// When it was set aside.
    pub parked_at: DateTime<Utc>,
}

/// Why an operator's request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No connection to the database.
    #[error("reach the database")]
    Away(#[from] PoolError),
    /// A statement was refused, or its connection broke.
    #[error("reach the operators' tables")]
    Statement(#[from] tokio_postgres::Error),
    /// What an operator decided could not be written down.
    #[error("write an operator's decision down")]
    Unwritable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No event at this position was set aside by this reaction.
    #[error("{name} set no event at {position} aside")]
    NotParked {
        /// The reaction.
        name: String,
        /// The position.
        position: i64,
    },
    /// There is no such row.
    #[error("there is no row {0}")]
    NoSuchRow(Uuid),
    /// The row holds the gateway's answer that money moved, which only has to be reported: `retry`.
    #[error("row {id} holds the outcome {settled}; retry it, so that the outcome is reported")]
    Contradicted {
        /// The row.
        id: Uuid,
        /// The stored outcome.
        settled: String,
    },
    /// The row is in a state that does not allow this.
    #[error("row {id} is {state}, which does not allow this")]
    WrongState {
        /// The row.
        id: Uuid,
        /// Its state.
        state: String,
    },
}

/// What waits for a person. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Operator {
    pool: Pool,
}

impl Operator {
    /// Over the database of `pool`.
    pub const fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// At most `limit` rows of the outbox, those that need somebody first; only those in `state` when
    /// given.
    ///
    /// # Errors
    /// The database is away.
    pub async fn list(
        &self,
        state: Option<&str>,
        limit: u32,
    ) -> Result<Vec<RowView>, OperatorError> {
        let client = self.pool.get().await?;
        let rows = client.query(include_str!("sql/list.sql"), &[&state, &i64::from(limit)]).await?;
        Ok(rows.iter().map(view).collect::<Result<_, _>>()?)
    }

    /// One row with what was sent, what came of it and what people did about it, also one that was
    /// carried out; `None` when there is none.
    ///
    /// # Errors
    /// The database is away.
    pub async fn show(&self, id: Uuid) -> Result<Option<RowView>, OperatorError> {
        let client = self.pool.get().await?;
        let Some(row) = client.query_opt(include_str!("sql/show.sql"), &[&id]).await? else {
            return Ok(None);
        };
        let interventions = client.query(include_str!("sql/interventions.sql"), &[&id]).await?;
        let interventions = interventions.iter().map(Intervened::read).collect::<Result<_, _>>()?;
        Ok(Some(RowView {
            correlation_id: row.try_get("correlation_id")?,
            request: row.try_get("request")?,
            outcome: row.try_get("outcome")?,
            interventions,
            ..view(&row)?
        }))
    }

    /// At most `limit` events that reactions set aside, oldest first.
    ///
    /// # Errors
    /// The database is away.
    pub async fn parked(&self, limit: u32) -> Result<Vec<ParkedView>, OperatorError> {
        let client = self.pool.get().await?;
        let rows = client.query(include_str!("sql/parked.sql"), &[&i64::from(limit)]).await?;
        Ok(rows.iter().map(parked).collect::<Result<_, _>>()?)
    }

    /// Has reaction `name` handle the event at `position` once more.
    ///
    /// # Errors
    /// It set no such event aside, or the database is away.
    pub async fn retry_parked(&self, name: &str, position: i64) -> Result<(), OperatorError> {
        let client = self.pool.get().await?;
        match client.execute(include_str!("sql/retry_parked.sql"), &[&name, &position]).await? {
            0 => Err(OperatorError::NotParked { name: name.to_owned(), position }),
            _ => Ok(()),
        }
    }
}

fn parked(row: &Row) -> Result<ParkedView, tokio_postgres::Error> {
    let kind: &str = row.try_get("aggregate_type")?;
    let stream: &str = row.try_get("aggregate_id")?;
    Ok(ParkedView {
        name: row.try_get("name")?,
        position: row.try_get("position")?,
        stream: format!("{kind}/{stream}"),
        event_type: row.try_get("event_type")?,
        error: row.try_get("error")?,
        attempts: row.try_get("attempts")?,
        retry_asked: row.try_get("retry_asked")?,
        parked_at: row.try_get("parked_at")?,
    })
}

fn view(row: &Row) -> Result<RowView, tokio_postgres::Error> {
    let kind: &str = row.try_get("aggregate_type")?;
    let stream: &str = row.try_get("aggregate_id")?;
    Ok(RowView {
        id: row.try_get("id")?,
        stream: format!("{kind}/{stream}"),
        sequence: row.try_get("sequence")?,
        kind: row.try_get("kind")?,
        state: row.try_get("state")?,
        attempt: row.try_get("attempt")?,
        not_before: row.try_get("not_before")?,
        lease_owner: row.try_get("lease_owner")?,
        lease_until: row.try_get("lease_until")?,
        last_error: row.try_get("last_error")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        correlation_id: None,
        request: None,
        outcome: None,
        interventions: Vec::new(),
    })
}

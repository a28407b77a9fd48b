//! The outbox and what reactions set aside, for operators: look, and say what is to be done about
//! what gave up.
//!
//! Nothing here calls the gateway or an aggregate: relay and reactions do, as ever. What may
//! have been sent is looked up again after `retry` and `release`, never repeated blindly.

use chrono::{DateTime, Utc};
use contracts::Text;
use contracts::events::DeclineClass;
use deadpool_postgres::Pool;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::relay::settlement::Settlement;

/// The code that an operator's decision carries.
const RESOLVED_CODE: &str = "resolved_by_operator";

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
    /// The database is away.
    #[error("reach the outbox")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No event at this position was set aside by this reaction.
    #[error("{name} set no event at {position} aside")]
    NotParked {
        /// The reaction.
        name: String,
        /// The position.
        position: i64,
    },
    /// There is no such row, or it is in a state that does not allow this.
    #[error("{0} is not there or not in a state for this")]
    NotApplicable(Uuid),
}

impl OperatorError {
    fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Database(Box::new(error))
    }
}

/// What can be done about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intervention {
    /// Take it up again; look it up first if anything was ever sent.
    Retry,
    /// It is certain that no money moved: tell the order so.
    ResolveAsNotDone {
        /// When the operator decided.
        at: DateTime<Utc>,
    },
    /// Do nothing about it until it is released.
    Hold,
    /// Go on with it.
    Release,
}

/// The outbox for operators.
#[derive(Debug, Clone)]
pub struct Operator {
    pool: Pool,
}

impl Operator {
    /// Over the database of `pool`.
    pub const fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// At most `limit` rows, those that need somebody first; only those in `state` when given.
    ///
    /// # Errors
    /// The database is away.
    pub async fn list(
        &self,
        state: Option<&str>,
        limit: u32,
    ) -> Result<Vec<RowView>, OperatorError> {
        let client = self.pool.get().await.map_err(OperatorError::new)?;
        let statement = include_str!("operator/sql/list.sql");
        let rows = client.query(statement, &[&state, &i64::from(limit)]).await;
        rows.map_err(OperatorError::new)?.iter().map(view).collect()
    }

    /// One row with what was sent and what came of it; `None` when there is none.
    ///
    /// # Errors
    /// The database is away.
    pub async fn show(&self, id: Uuid) -> Result<Option<RowView>, OperatorError> {
        let client = self.pool.get().await.map_err(OperatorError::new)?;
        let row = client.query_opt(include_str!("operator/sql/show.sql"), &[&id]).await;
        let Some(row) = row.map_err(OperatorError::new)? else {
            return Ok(None);
        };
        let mut shown = view(&row)?;
        shown.correlation_id = row.try_get("correlation_id").map_err(OperatorError::new)?;
        shown.request = row.try_get("request").map_err(OperatorError::new)?;
        shown.outcome = row.try_get("outcome").map_err(OperatorError::new)?;
        Ok(Some(shown))
    }

    /// At most `limit` events that reactions set aside, oldest first.
    ///
    /// # Errors
    /// The database is away.
    pub async fn parked(&self, limit: u32) -> Result<Vec<ParkedView>, OperatorError> {
        let client = self.pool.get().await.map_err(OperatorError::new)?;
        let statement = include_str!("operator/sql/parked.sql");
        let rows = client.query(statement, &[&i64::from(limit)]).await;
        let rows = rows.map_err(OperatorError::new)?;
        rows.iter().map(|row| parked(row).map_err(OperatorError::new)).collect()
    }

    /// Has reaction `name` handle the event at `position` once more.
    ///
    /// # Errors
    /// It set no such event aside, or the database is away.
    pub async fn retry_parked(&self, name: &str, position: i64) -> Result<(), OperatorError> {
        let client = self.pool.get().await.map_err(OperatorError::new)?;
        let statement = include_str!("operator/sql/retry_parked.sql");
        let asked = client.execute(statement, &[&name, &position]).await;
        match asked.map_err(OperatorError::new)? {
            0 => Err(OperatorError::NotParked { name: name.to_owned(), position }),
            _ => Ok(()),
        }
    }

    /// Does something about a row.
    ///
    /// # Errors
    /// The row is not there or in a state that does not allow it, or the database is away.
    pub async fn intervene(&self, id: Uuid, what: Intervention) -> Result<(), OperatorError> {
        let client = self.pool.get().await.map_err(OperatorError::new)?;
        let changed = match what {
            Intervention::Retry => {
                client.execute(include_str!("operator/sql/retry.sql"), &[&id]).await
            }
            Intervention::Hold => {
                client.execute(include_str!("operator/sql/hold.sql"), &[&id]).await
            }
            Intervention::Release => {
                client.execute(include_str!("operator/sql/release.sql"), &[&id]).await
            }
            Intervention::ResolveAsNotDone { at } => {
                let code = Text::parse(RESOLVED_CODE).map_err(OperatorError::new)?;
                let class = DeclineClass::Merchant;
                let outcome = serde_json::to_value(Settlement::Declined { class, code, at })
                    .map_err(OperatorError::new)?;
                let statement = include_str!("operator/sql/resolve.sql");
                client.execute(statement, &[&id, &outcome, &RESOLVED_CODE]).await
            }
        };
        tracing::warn!(outbox.id = %id, ?what, "an operator intervened");
        match changed.map_err(OperatorError::new)? {
            0 => Err(OperatorError::NotApplicable(id)),
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

fn view(row: &Row) -> Result<RowView, OperatorError> {
    read(row).map_err(OperatorError::new)
}

fn read(row: &Row) -> Result<RowView, tokio_postgres::Error> {
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
    })
}

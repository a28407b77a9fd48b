//! Payments that need somebody: those without an outcome, and those about which the gateway's books
//! differ from ours. Both are read from tables that the worker's reactions fold from the log.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::OrderId;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Operator, OperatorError};

/// How long a payment may be without an outcome before it is looked up, and told to operators.
pub const LOOK_UP_AFTER: TimeDelta = TimeDelta::seconds(60);

/// A difference that is still open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenDifference {
    /// Which order.
    pub order_id: OrderId,
    /// Which attempt to pay it.
    pub attempt: i32,
    /// In what the books differ; see [`contracts::events::DifferenceKind`].
    pub kind: String,
    /// What we have.
    pub ours: String,
    /// What they say.
    pub theirs: String,
    /// Since when it is open.
    pub found_at: DateTime<Utc>,
    /// When a side last said something else.
    pub changed_at: DateTime<Utc>,
}

/// A payment whose outcome is overdue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenPayment {
    /// Which order.
    pub order_id: OrderId,
    /// Which attempt to pay it.
    pub attempt: i32,
    /// `approving`: the gateway was asked to move the money; `unresolved`: nobody could find out.
    pub state: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When the gateway is asked about it next, unless a row of the outbox is on its way.
    pub next_look_up_at: DateTime<Utc>,
    /// The row that is to bring the outcome, when there is one.
    pub row_id: Option<Uuid>,
    /// How that row stands.
    pub row_state: Option<String>,
    /// What went wrong with it last.
    pub last_error: Option<String>,
}

impl Operator {
    /// At most `limit` differences that are still open, oldest first.
    ///
    /// # Errors
    /// The database is away.
    pub async fn differences(&self, limit: u32) -> Result<Vec<OpenDifference>, OperatorError> {
        let client = self.pool.get().await?;
        let rows = client.query(include_str!("sql/differences.sql"), &[&i64::from(limit)]).await?;
        Ok(rows.iter().map(difference).collect::<Result<_, _>>()?)
    }

    /// How many differences are still open.
    ///
    /// # Errors
    /// The database is away.
    pub async fn differences_open(&self) -> Result<u32, OperatorError> {
        let client = self.pool.get().await?;
        let row = client.query_one(include_str!("sql/count_differences.sql"), &[]).await?;
        let count: i64 = row.try_get("open")?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// At most `limit` payments that are without an outcome at `now` although [`LOOK_UP_AFTER`] is
    /// over, or that nobody could find out about, oldest first.
    ///
    /// # Errors
    /// The database is away.
    pub async fn unresolved(
        &self,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<OpenPayment>, OperatorError> {
        let client = self.pool.get().await?;
        let before = now - LOOK_UP_AFTER;
        let statement = include_str!("sql/unresolved.sql");
        let rows = client.query(statement, &[&before, &i64::from(limit)]).await?;
        Ok(rows.iter().map(open_payment).collect::<Result<_, _>>()?)
    }
}

fn difference(row: &Row) -> Result<OpenDifference, tokio_postgres::Error> {
    Ok(OpenDifference {
        order_id: OrderId::new(row.try_get("order_id")?),
        attempt: row.try_get("attempt")?,
        kind: row.try_get("kind")?,
        ours: row.try_get("ours")?,
        theirs: row.try_get("theirs")?,
        found_at: row.try_get("found_at")?,
        changed_at: row.try_get("changed_at")?,
    })
}

fn open_payment(row: &Row) -> Result<OpenPayment, tokio_postgres::Error> {
    Ok(OpenPayment {
        order_id: OrderId::new(row.try_get("order_id")?),
        attempt: row.try_get("attempt")?,
        state: row.try_get("state")?,
        since: row.try_get("since")?,
        next_look_up_at: row.try_get("not_before")?,
        row_id: row.try_get("row_id")?,
        row_state: row.try_get("row_state")?,
        last_error: row.try_get("last_error")?,
    })
}

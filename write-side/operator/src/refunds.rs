//! Refunds that the shop owes: those that are pending for too long, those whose row the relay gave up,
//! and those that the gateway refused. Read from the table that the worker's reaction folds.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use contracts::calendar::business_date;
use contracts::{OrderId, RefundId};
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Operator, OperatorError};

/// How long a refund may be pending before it is a difference.
pub const REFUND_OVERDUE_AFTER: TimeDelta = TimeDelta::hours(1);

/// A refund that needs an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenRefund {
    /// Pending, or refused by the gateway.
    pub refund_id: RefundId,
    /// The order whose payment it refunds.
    pub order_id: OrderId,
    /// The attempt that was paid.
    pub attempt: i32,
    /// How much, in won.
    pub amount: i64,
    /// `pending`: there is no outcome; `refused`: the gateway refused it.
    pub state: String,
    /// Whether it refunds a payment that came too late: no shopper asks for it again.
    pub is_automatic: bool,
    /// The gateway's code, of a refused one.
    pub code: Option<String>,
    /// When it was requested.
    pub requested_at: DateTime<Utc>,
    /// Since when it stands so.
    pub since: DateTime<Utc>,
    /// The Korean day on which the shopper has to have the money.
    pub due_on: NaiveDate,
    /// When the gateway is asked about it next, unless a row of the outbox is on its way; `None`: no
    /// more.
    pub next_look_up_at: Option<DateTime<Utc>>,
    /// The row that is to bring the outcome, when there is one.
    pub row_id: Option<Uuid>,
    /// How that row stands.
    pub row_state: Option<String>,
    /// What went wrong with it last.
    pub last_error: Option<String>,
}

/// How many refunds are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RefundCounts {
    /// Pending for longer than [`REFUND_OVERDUE_AFTER`].
    pub overdue: u32,
    /// Refused by the gateway.
    pub refused: u32,
    /// Of both, and of those that are pending for less: due tomorrow, today or earlier.
    pub due_soon: u32,
}

impl Operator {
    /// At most `limit` refunds that need an operator at `now`, those that are due first; without the
    /// refused ones when `only_pending`.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn open_refunds(
        &self,
        now: DateTime<Utc>,
        only_pending: bool,
        limit: u32,
    ) -> Result<Vec<OpenRefund>, OperatorError> {
        let client = self.pool.get().await?;
        let (before, limit) = (now - REFUND_OVERDUE_AFTER, i64::from(limit));
        let statement = include_str!("sql/open_refunds.sql");
        let rows = client.query(statement, &[&before, &only_pending, &limit]).await?;
        Ok(rows.iter().map(open_refund).collect::<Result<_, _>>()?)
    }

    /// How many refunds are open at `now`.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn refund_counts(&self, now: DateTime<Utc>) -> Result<RefundCounts, OperatorError> {
        let client = self.pool.get().await?;
        let before = now - REFUND_OVERDUE_AFTER;
        let tomorrow = business_date(now).checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX);
        let statement = include_str!("sql/count_refunds.sql");
        let row = client.query_one(statement, &[&before, &tomorrow]).await?;
        let count = |name| {
            let count: i64 = row.try_get(name)?;
            Ok::<_, tokio_postgres::Error>(u32::try_from(count).unwrap_or(u32::MAX))
        };
        Ok(RefundCounts {
            overdue: count("overdue")?,
            refused: count("refused")?,
            due_soon: count("due_soon")?,
        })
    }
}

fn open_refund(row: &Row) -> Result<OpenRefund, tokio_postgres::Error> {
    Ok(OpenRefund {
        refund_id: RefundId::new(row.try_get("refund_id")?),
        order_id: OrderId::new(row.try_get("order_id")?),
        attempt: row.try_get("attempt")?,
        amount: row.try_get("amount")?,
        state: row.try_get("state")?,
        is_automatic: row.try_get("is_automatic")?,
        code: row.try_get("code")?,
        requested_at: row.try_get("requested_at")?,
        since: row.try_get("since")?,
        due_on: row.try_get("due_on")?,
        next_look_up_at: row.try_get("not_before")?,
        row_id: row.try_get("row_id")?,
        row_state: row.try_get("row_state")?,
        last_error: row.try_get("last_error")?,
    })
}

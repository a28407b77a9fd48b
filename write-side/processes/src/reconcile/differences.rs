//! What was found to differ: written down, counted, alarmed, and settled when it is gone.

use chrono::{DateTime, Utc};
use contracts::OrderId;
use deadpool_postgres::Pool;
use serde::Serialize;
use tokio_postgres::Row;

use super::{Compared, Difference, ReconcileError, Reconciler, Verdict};
use crate::metrics;

/// A difference that is still open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenDifference {
    /// Which order.
    pub order_id: OrderId,
    /// Which attempt to pay it.
    pub attempt: i32,
    /// What differs.
    pub kind: String,
    /// What we have.
    pub ours: String,
    /// What they say.
    pub theirs: String,
    /// When it was first found.
    pub found_at: DateTime<Utc>,
    /// When it was last found.
    pub last_found_at: DateTime<Utc>,
    /// How often it was found.
    pub times: i32,
}

/// At most `limit` differences that are still open, oldest first.
///
/// # Errors
/// The database is away.
pub async fn open_differences(
    pool: &Pool,
    limit: u32,
) -> Result<Vec<OpenDifference>, ReconcileError> {
    let client = pool.get().await?;
    let rows = client.query(include_str!("sql/open_differences.sql"), &[&i64::from(limit)]).await?;
    let read = |row: &Row| {
        Ok(OpenDifference {
            order_id: OrderId::new(row.try_get("order_id")?),
            attempt: row.try_get("attempt")?,
            kind: row.try_get("kind")?,
            ours: row.try_get("ours")?,
            theirs: row.try_get("theirs")?,
            found_at: row.try_get("found_at")?,
            last_found_at: row.try_get("last_found_at")?,
            times: row.try_get("times")?,
        })
    };
    rows.iter().map(read).collect()
}

impl Reconciler {
    /// Writes down what a comparison found, or that it found nothing any more.
    pub(super) async fn note(&self, compared: &Compared) -> Result<(), ReconcileError> {
        let found: &[Difference] = match compared.verdict {
            Verdict::Differs => &compared.differences,
            Verdict::Same => &[],
            // Says nothing, neither for nor against.
            Verdict::UnderWay | Verdict::Unanswered => return Ok(()),
        };
        self.note_all(compared.order_id, compared.attempt, found).await
    }

    pub(super) async fn note_all(
        &self,
        order: OrderId,
        attempt: u32,
        found: &[Difference],
    ) -> Result<(), ReconcileError> {
        let now = self.clock.now();
        let number = i32::try_from(attempt).unwrap_or(i32::MAX);
        let mut client = self.pool.get().await?;
        let tx = client.transaction().await?;
        for Difference { kind, ours, theirs } in found {
            metrics::reconcile_difference(kind);
            tracing::error!(order.id = %order, attempt, kind, ours, theirs, "the books differ");
            let statement = include_str!("sql/note_difference.sql");
            tx.execute(statement, &[&order.uuid(), &number, kind, ours, theirs, &now]).await?;
        }
        let kinds: Vec<&str> = found.iter().map(|difference| difference.kind).collect();
        let statement = include_str!("sql/settle_differences.sql");
        tx.execute(statement, &[&order.uuid(), &number, &kinds, &now]).await?;
        tx.commit().await?;
        Ok(())
    }
}

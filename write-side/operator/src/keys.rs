//! Recurring keys that were lost with the answer that held them: paid, but the next cycle cannot be
//! charged before the shopper registers again.

use chrono::{DateTime, Utc};
use contracts::{BillingKeyId, UserId};
use serde::Serialize;

use crate::{Operator, OperatorError};

/// A recurring key that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingKey {
    /// What the log refers to the key by.
    pub billing_key_id: BillingKeyId,
    /// The user whose subscriptions it was to pay.
    pub user_id: UserId,
    /// Since when it is missing.
    pub since: DateTime<Utc>,
}

/// How many recurring keys are missing, by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MissingKeyCounts {
    /// For less than a day.
    pub under_a_day: u32,
    /// For a day to a week.
    pub under_a_week: u32,
    /// For longer.
    pub older: u32,
}

impl Operator {
    /// At most `limit` recurring keys that are missing, oldest first.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn missing_keys(&self, limit: u32) -> Result<Vec<MissingKey>, OperatorError> {
        let client = self.pool.get().await?;
        let statement = include_str!("sql/missing_keys.sql");
        let rows = client.query(statement, &[&i64::from(limit)]).await?;
        let keys = rows.iter().map(|row| {
            Ok::<_, tokio_postgres::Error>(MissingKey {
                billing_key_id: BillingKeyId::new(row.try_get("billing_key_id")?),
                user_id: UserId::new(row.try_get("user_id")?),
                since: row.try_get("created_at")?,
            })
        });
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// How many recurring keys are missing.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn missing_key_counts(&self) -> Result<MissingKeyCounts, OperatorError> {
        let client = self.pool.get().await?;
        let row = client.query_one(include_str!("sql/count_missing_keys.sql"), &[]).await?;
        let count = |name| {
            let count: i64 = row.try_get(name)?;
            Ok::<_, tokio_postgres::Error>(u32::try_from(count).unwrap_or(u32::MAX))
        };
        Ok(MissingKeyCounts {
            under_a_day: count("under_a_day")?,
            under_a_week: count("under_a_week")?,
            older: count("older")?,
        })
    }
}

//! Whether asking the gateway for a payment page is pointless at the moment, and whether a payment moves
//! money: the workers say so.
//!
//! A hint that saves the shopper the wait and the log an attempt. When nothing can be found out the
//! attempt is made, and the worker's own breaker decides.

use std::error::Error;
use std::time::Duration;

use deadpool_postgres::Pool;
use tokio_postgres::types::FromSql;

/// What the workers say of their breakers.
#[derive(Debug, Clone)]
pub(crate) struct GatewayBreaker {
    pool: Pool,
}

impl GatewayBreaker {
    /// Over the database of `pool`.
    pub(crate) const fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// How long every worker will still refuse to ask for a payment page; `None` when one of them
    /// would ask, or when nobody says.
    pub(crate) async fn open_for(&self) -> Option<Duration> {
        match self.read::<i64>(include_str!("breaker/open_for.sql")).await {
            Ok(open_ms) => open_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
            Err(error) => {
                tracing::debug!(error = &*error, "the breakers cannot be read");
                None
            }
        }
    }

    /// Whether payments move money: `live`, or `test` when a worker opens payment pages under test codes;
    /// `unknown` when no worker says so, or the database is unavailable.
    pub(crate) async fn payment_mode(&self) -> &'static str {
        match self.read::<bool>(include_str!("breaker/is_test.sql")).await {
            Ok(Some(true)) => "test",
            Ok(Some(false)) => "live",
            Ok(None) | Err(_) => "unknown",
        }
    }

    async fn read<T>(&self, query: &str) -> Result<Option<T>, Box<dyn Error + Send + Sync>>
    where
        T: for<'a> FromSql<'a>,
    {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(query).await?;
        Ok(client.query_one(&statement, &[]).await?.try_get(0)?)
    }
}

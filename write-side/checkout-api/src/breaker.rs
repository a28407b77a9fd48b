//! Whether asking the gateway for a payment page is pointless at the moment: the workers say so.
//!
//! A hint that saves the shopper the wait and the log an attempt. When nothing can be found out the
//! attempt is made, and the worker's own breaker decides.

use std::time::Duration;

use deadpool_postgres::Pool;

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
        match self.ask().await {
            Ok(open_ms) => open_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
            Err(error) => {
                tracing::debug!(error = &*error, "the breakers cannot be read");
                None
            }
        }
    }

    async fn ask(&self) -> Result<Option<i64>, Box<dyn std::error::Error + Send + Sync>> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(include_str!("breaker/open_for.sql")).await?;
        Ok(client.query_one(&statement, &[]).await?.try_get(0)?)
    }
}

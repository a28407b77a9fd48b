//! Tells the command APIs while this worker's breaker keeps it from opening payment pages.
//!
//! A shopper is then refused at once instead of after an attempt was recorded, claimed, not sent and
//! ended. A hint and nothing more: an API that has not heard of it takes the longer way to the same
//! answer, and one that hears of a breaker that has closed meanwhile refuses for a moment too long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use service_kit::clock::SharedClock;
use service_kit::shutdown::Shutdown;

use crate::gateway::PaymentGateway;
use crate::relay::rows::RowError;
use crate::relay::with_causes;

/// The class of calls that shoppers wait for.
const CHECKOUT: &str = "checkout";
/// The same where it moves no money, so that the command APIs can show it.
const CHECKOUT_TEST: &str = "checkout_test";
/// Pause between two looks at the breaker, which cost nothing: how long an API hears late of it.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// How often the same is said again; an API believes it for three times as long.
const TELL_AGAIN: Duration = Duration::from_secs(3);
/// Pause after it could not be said.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// Who tells, and where.
pub(crate) struct Announcer {
    pub(crate) gateway: Arc<dyn PaymentGateway>,
    pub(crate) pool: Pool,
    pub(crate) worker: String,
    pub(crate) clock: SharedClock,
    /// Whether payments move no money.
    pub(crate) is_test: bool,
}

impl Announcer {
    /// Tells until `shutdown`, then that there is nothing to tell any more.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut told: Option<(bool, Instant)> = None;
        while !shutdown.is_requested() {
            let pause = self.gateway.checkout_pause();
            let is_news = told.is_none_or(|(was_open, since)| {
                was_open != pause.is_some() || TELL_AGAIN <= since.elapsed()
            });
            let mut next_look = LOOK_PAUSE;
            if is_news {
                match self.tell(pause).await {
                    Ok(()) => told = Some((pause.is_some(), Instant::now())),
                    Err(error) => {
                        tracing::debug!(error = %with_causes(&error), "breaker not announced");
                        next_look = FAILURE_PAUSE;
                    }
                }
            }
            tokio::select! {
                () = shutdown.requested() => (),
                () = self.clock.sleep(next_look) => (),
            }
        }
        if let Err(error) = self.forget().await {
            tracing::debug!(error = %with_causes(&error), "the announcement stays until it is old");
        }
    }

    async fn tell(&self, pause: Option<Duration>) -> Result<(), RowError> {
        let open_ms = pause.map(|left| i64::try_from(left.as_millis()).unwrap_or(i64::MAX));
        let class = if self.is_test { CHECKOUT_TEST } else { CHECKOUT };
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(include_str!("announce/sql/tell.sql")).await?;
        client.execute(&statement, &[&self.worker, &class, &open_ms]).await?;
        Ok(())
    }

    async fn forget(&self) -> Result<(), RowError> {
        let client = self.pool.get().await?;
        client.execute(include_str!("announce/sql/forget.sql"), &[&self.worker]).await?;
        Ok(())
    }
}

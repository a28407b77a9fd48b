//! What the shop does because something happened: read from the log in order, at least once.
//!
//! Each reaction has its own checkpoint, so a slow one delays nobody else. One that only writes
//! rows moves its checkpoint in the transaction of the rows; one that sends commands sends
//! idempotent ones and moves its checkpoint afterwards. What fails for the moment is tried again
//! and stops the reaction meanwhile; what cannot be handled is set aside in `parked_reaction`
//! together with everything later of the same stream, alarmed, and stands in nobody's way.

use std::fmt;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use contracts::{Position, RecordedEvent};
use deadpool_postgres::Pool;
use event_feed::{FeedReader, Filter, SafePosition};
use service_kit::clock::SharedClock;
use service_kit::fault::Fault;
use service_kit::shutdown::Shutdown;
use tokio::time::timeout;

use crate::metrics;
use crate::relay::with_causes;

pub mod checkpoint;
mod commanding;
pub mod ended_orders;
pub mod expiry_index;
pub mod paid_orders;
pub mod payment_differences;
pub mod payment_index;
pub mod refund_index;
mod subscribing;
pub mod table;

pub use ended_orders::EndedOrders;
pub use expiry_index::ExpiryIndex;
pub use paid_orders::PaidOrders;
pub use payment_differences::PaymentDifferences;
pub use payment_index::PaymentIndex;
pub use refund_index::RefundIndex;

/// Events read at once: one round trip amortised over many, and half a MiB at most.
const BATCH_EVENTS_MAX: u32 = 200;
/// Longest time that an event goes unnoticed when its wake-up is lost.
const POLL: Duration = Duration::from_millis(500);
/// Shortest time between the beginnings of two batches once a reaction has caught up: events come by
/// the hundred in a burst, each moves the edge of the log, and a batch of one costs as much as one of
/// many. Nobody waits for what follows from a payment as they wait for the payment.
const GATHER: Duration = Duration::from_millis(100);
/// First pause after a failure.
const FAILURE_PAUSE_MIN: Duration = Duration::from_millis(200);
/// Longest pause after repeated failures.
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(15);

/// Why a batch could not be applied now; it will be tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReactionError {
    /// The log could not be read.
    #[error("read the log")]
    Feed(#[from] event_feed::FeedError),
    /// The reaction's own tables are away.
    #[error("reach the reaction's tables")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something a reaction needs is away.
    #[error("react: {0}")]
    Away(String),
}

impl From<tokio_postgres::Error> for ReactionError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(Box::new(error))
    }
}

impl From<deadpool_postgres::PoolError> for ReactionError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self::Database(Box::new(error))
    }
}

/// Why one event could not be handled.
#[derive(Debug)]
pub enum Failure {
    /// Trying again may help: the reaction waits.
    Away(String),
    /// Trying again would end the same way: the event is set aside.
    Hopeless(String),
}

/// How far a reaction has come after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The new checkpoint.
    pub through: Position,
    /// Whether there was nothing more to read.
    pub is_caught_up: bool,
}

/// A reaction to the log.
pub trait Reaction: fmt::Debug + Send + Sync + 'static {
    /// Its stored name; also a metric label.
    fn name(&self) -> &'static str;

    /// Which events it wants.
    fn filter(&self) -> Filter;

    /// Applies the next batch after its checkpoint and moves the checkpoint.
    fn apply_batch(
        &self,
        feed: &FeedReader,
        pool: &Pool,
        limit: u32,
    ) -> impl Future<Output = Result<Applied, ReactionError>> + Send;

    /// Handles one event by itself, for one that was set aside.
    fn handle(
        &self,
        pool: &Pool,
        event: &RecordedEvent,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Runs reactions until told to stop.
#[derive(Debug, Clone)]
pub struct Reactor {
    /// The database of log and checkpoints.
    pub pool: Pool,
    /// Wakes when there is something to read.
    pub safe: SafePosition,
    /// Paces polling and retries.
    pub clock: SharedClock,
}

impl Reactor {
    /// Runs `reaction` until `shutdown`; ends between two batches.
    pub async fn run(self, reaction: impl Reaction, shutdown: Shutdown) {
        let feed = FeedReader::new(self.pool.clone());
        let mut failures = 0_usize;
        let fault = Fault::new();
        while !shutdown.is_requested() {
            // Subscribed before reading, so that an event settled in between wakes us.
            let mut safe = self.safe.subscribe();
            safe.mark_unchanged();
            let begun = Instant::now();
            let applied = async {
                self.retry_parked(&reaction, &feed).await?;
                reaction.apply_batch(&feed, &self.pool, BATCH_EVENTS_MAX).await
            };
            let pause = match applied.await {
                Ok(applied) => {
                    failures = 0;
                    if let Some(failures) = fault.ended() {
                        let reaction = reaction.name();
                        tracing::info!(reaction, failures, "reaction goes on");
                    }
                    if !applied.is_caught_up {
                        continue;
                    }
                    POLL
                }
                Err(error) => {
                    failures += 1;
                    metrics::reaction_failed(reaction.name());
                    if let Some(failures) = fault.occurred() {
                        let (reaction, error) = (reaction.name(), with_causes(&error));
                        tracing::warn!(
                            reaction,
                            error,
                            failures,
                            "reaction failed; it tries again"
                        );
                    }
                    failure_pause(failures)
                }
            };
            tokio::select! {
                () = shutdown.requested() => (),
                changed = safe.changed(), if failures == 0 => {
                    // The watcher has ended: polling goes on.
                    if changed.is_err() {
                        self.clock.sleep(POLL).await;
                    }
                }
                () = self.clock.sleep(pause) => (),
            }
            let rest = GATHER.saturating_sub(begun.elapsed());
            // A pause of milliseconds is no matter of the clock, which may be a test's.
            drop(timeout(rest, shutdown.requested()).await);
        }
        tracing::info!(reaction = reaction.name(), "reaction stopped");
    }

    /// Handles what an operator asked to be handled once more, oldest first.
    async fn retry_parked(
        &self,
        reaction: &impl Reaction,
        feed: &FeedReader,
    ) -> Result<(), ReactionError> {
        let name = reaction.name();
        for position in checkpoint::asked_again(&self.pool, name).await? {
            let before = Position::new(position.number() - 1);
            let found = feed.read(before, &reaction.filter(), 1).await?;
            let Some(event) = found.events.iter().find(|event| event.position == position) else {
                continue;
            };
            if checkpoint::is_stream_parked(&self.pool.get().await?, name, event).await? {
                continue;
            }
            match reaction.handle(&self.pool, event).await {
                Ok(()) => checkpoint::unpark(&self.pool, name, event).await?,
                Err(Failure::Away(why)) => return Err(ReactionError::Away(why)),
                Err(Failure::Hopeless(why)) => {
                    checkpoint::park(&self.pool.get().await?, name, event, &why).await?;
                }
            }
        }
        Ok(())
    }
}

fn failure_pause(failures: usize) -> Duration {
    ExponentialBuilder::new()
        .with_min_delay(FAILURE_PAUSE_MIN)
        .with_max_delay(FAILURE_PAUSE_MAX)
        .without_max_times()
        .with_jitter()
        .build()
        .nth(failures.min(16))
        .unwrap_or(FAILURE_PAUSE_MAX)
}

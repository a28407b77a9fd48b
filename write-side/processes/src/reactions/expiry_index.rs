//! Which unpaid orders there are and when each expires: a small table folded from the log, so that
//! the schedule finds due orders without asking a read model. Rows and checkpoint are one
//! transaction; the order itself decides whether it expires.

use contracts::events::OrderEvent;
use contracts::{DecodeError, EventBody, RecordedEvent};
use deadpool_postgres::{Pool, Transaction};
use event_feed::{FeedReader, Filter};

use super::{Applied, Failure, Reaction, ReactionError, checkpoint};
use crate::metrics;
use crate::relay::with_causes;

/// The stored name of this reaction.
const NAME: &str = "expiry_index";

/// Folds the log into `order_expiry`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExpiryIndex;

impl Reaction for ExpiryIndex {
    fn name(&self) -> &'static str {
        NAME
    }

    fn filter(&self) -> Filter {
        Filter::events(&["OrderPlaced", "PaymentApproved", "OrderExpired", "OrderCancelled"])
    }

    async fn apply_batch(
        &self,
        feed: &FeedReader,
        pool: &Pool,
        limit: u32,
    ) -> Result<Applied, ReactionError> {
        let mut client = pool.get().await?;
        let tx = client.transaction().await?;
        let from = checkpoint::lock_in_tx(&tx, NAME).await?;
        let batch = feed.read(from, &self.filter(), limit).await?;
        for event in &batch.events {
            match fold_in_tx(&tx, event).await? {
                Ok(()) => (),
                Err(unreadable) => {
                    checkpoint::park(&tx, NAME, event, &unreadable.to_string()).await?;
                }
            }
        }
        if from < batch.through {
            checkpoint::move_to(&tx, NAME, batch.through).await?;
        }
        tx.commit().await?;
        metrics::reaction_handled(NAME, batch.events.len() as u64);
        Ok(Applied { through: batch.through, is_caught_up: batch.is_caught_up() })
    }

    async fn handle(&self, pool: &Pool, event: &RecordedEvent) -> Result<(), Failure> {
        let folded = async {
            let mut client = pool.get().await?;
            let tx = client.transaction().await?;
            let folded = fold_in_tx(&tx, event).await?;
            tx.commit().await?;
            Ok::<_, ReactionError>(folded)
        };
        match folded.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(unreadable)) => Err(Failure::Hopeless(unreadable.to_string())),
            Err(error) => Err(Failure::Away(with_causes(&error))),
        }
    }
}

/// Folds one event. The inner error: it cannot be read, and nothing was written.
async fn fold_in_tx(
    tx: &Transaction<'_>,
    event: &RecordedEvent,
) -> Result<Result<(), DecodeError>, ReactionError> {
    if event.aggregate_type != OrderEvent::AGGREGATE_TYPE {
        return Ok(Ok(()));
    }
    let decoded = match event.decode::<OrderEvent>() {
        Ok(decoded) => decoded,
        Err(error) => return Ok(Err(error)),
    };
    let order = &event.aggregate_id;
    if let OrderEvent::Placed { expires_at, .. } = decoded {
        let remember = tx.prepare_cached(include_str!("sql/remember_expiry.sql")).await?;
        tx.execute(&remember, &[order, &expires_at]).await?;
    } else {
        let forget = tx.prepare_cached(include_str!("sql/forget_expiry.sql")).await?;
        tx.execute(&forget, &[order]).await?;
    }
    Ok(Ok(()))
}

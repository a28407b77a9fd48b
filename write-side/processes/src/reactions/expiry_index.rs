//! Which unpaid orders there are and when each expires: a small table folded from the log, so that
//! the schedule finds due orders without asking a read model. Rows and checkpoint are one
//! transaction; the order itself decides whether it expires.

use contracts::events::OrderEvent;
use contracts::{EventBody, RecordedEvent};
use deadpool_postgres::{Pool, Transaction};
use event_feed::{FeedReader, Filter};

use super::{Applied, Reaction, ReactionError, checkpoint};
use crate::metrics;

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
            fold_in_tx(&tx, event).await?;
        }
        if from < batch.through {
            checkpoint::move_to(&tx, NAME, batch.through).await?;
        }
        tx.commit().await?;
        metrics::reaction_handled(NAME, batch.events.len() as u64);
        Ok(Applied { through: batch.through, is_caught_up: batch.is_caught_up() })
    }
}

async fn fold_in_tx(tx: &Transaction<'_>, event: &RecordedEvent) -> Result<(), ReactionError> {
    if event.aggregate_type != OrderEvent::AGGREGATE_TYPE {
        return Ok(());
    }
    let decoded = match event.decode::<OrderEvent>() {
        Ok(decoded) => decoded,
        Err(error) => return checkpoint::park(tx, NAME, event, &error.to_string()).await,
    };
    let order = &event.aggregate_id;
    if let OrderEvent::Placed { expires_at, .. } = decoded {
        tx.execute(include_str!("sql/remember_expiry.sql"), &[order, &expires_at]).await?;
    } else {
        tx.execute(include_str!("sql/forget_expiry.sql"), &[order]).await?;
    }
    Ok(())
}

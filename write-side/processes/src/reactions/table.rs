//! Reactions that only fold events into rows of their own: rows and checkpoint are one transaction,
//! so that each event counts once.

use contracts::{DecodeError, RecordedEvent};
use deadpool_postgres::{Pool, Transaction};
use event_feed::{FeedReader, Filter};

use super::{Applied, Failure, Reaction, ReactionError, checkpoint};
use crate::metrics;
use crate::relay::with_causes;

/// A fold of the log into rows.
pub trait TableFold: std::fmt::Debug + Send + Sync + 'static {
    /// The stored name of the reaction; also a metric label.
    const NAME: &'static str;
    /// The stored names of the events it reads.
    const EVENT_TYPES: &'static [&'static str];

    /// Folds one event. The inner error: it cannot be read, and nothing was written.
    fn fold_in_tx(
        tx: &Transaction<'_>,
        event: &RecordedEvent,
    ) -> impl Future<Output = Result<Result<(), DecodeError>, ReactionError>> + Send;
}

impl<T: TableFold> Reaction for T {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn filter(&self) -> Filter {
        Filter::events(T::EVENT_TYPES)
    }

    async fn apply_batch(
        &self,
        feed: &FeedReader,
        pool: &Pool,
        limit: u32,
    ) -> Result<Applied, ReactionError> {
        let mut client = pool.get().await?;
        let tx = client.transaction().await?;
        let from = checkpoint::lock_in_tx(&tx, T::NAME).await?;
        let batch = feed.read(from, &self.filter(), limit).await?;
        for event in &batch.events {
            if let Err(unreadable) = T::fold_in_tx(&tx, event).await? {
                checkpoint::park(&tx, T::NAME, event, &unreadable.to_string()).await?;
            }
        }
        if from < batch.through {
            checkpoint::move_to(&tx, T::NAME, batch.through).await?;
        }
        tx.commit().await?;
        metrics::reaction_handled(T::NAME, batch.events.len() as u64);
        Ok(Applied { through: batch.through, is_caught_up: batch.is_caught_up() })
    }

    async fn handle(&self, pool: &Pool, event: &RecordedEvent) -> Result<(), Failure> {
        let folded = async {
            let mut client = pool.get().await?;
            let tx = client.transaction().await?;
            let folded = T::fold_in_tx(&tx, event).await?;
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

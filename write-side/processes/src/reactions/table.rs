//! Reactions that only fold events into rows of their own: rows and checkpoint are one transaction,
//! so that each event counts once.
//!
//! A batch is folded in memory first, so that it costs the same few statements whatever its size. An
//! event that cannot be read is parked together with everything later of its stream.

use contracts::{DecodeError, RecordedEvent};
use deadpool_postgres::{Pool, Transaction};
use event_feed::{FeedReader, Filter};

use super::{Applied, Failure, Reaction, ReactionError, checkpoint};
use crate::failpoints::{Point, reach};
use crate::metrics;
use crate::relay::with_causes;

/// A fold of the log into rows.
pub trait TableFold: std::fmt::Debug + Send + Sync + 'static {
    /// The stored name of the reaction; also a metric label.
    const NAME: &'static str;
    /// The stored names of the events it reads.
    const EVENT_TYPES: &'static [&'static str];

    /// What a batch comes to, row by row.
    type Changes: Default + Send;

    /// Folds one event into what the batch comes to so far. The error: it cannot be read, and
    /// `changes` are as before.
    fn fold(changes: &mut Self::Changes, event: &RecordedEvent) -> Result<(), DecodeError>;

    /// Writes what a batch came to, in a few statements for all rows.
    fn write_in_tx(
        tx: &Transaction<'_>,
        changes: Self::Changes,
    ) -> impl Future<Output = Result<(), ReactionError>> + Send;
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
        let mut changes = T::Changes::default();
        let mut parked = checkpoint::parked_among(&tx, T::NAME, &batch.events).await?;
        for event in &batch.events {
            // Rows of a stream are folded in its order or not at all: one that was parked and is
            // handled later would overwrite what came after it.
            let is_parked = parked.contains(&event.aggregate_id.to_string());
            let outcome = if is_parked {
                Err(checkpoint::BEHIND_PARKED.to_owned())
            } else {
                T::fold(&mut changes, event).map_err(|unreadable| unreadable.to_string())
            };
            if let Err(why) = outcome {
                parked.insert(event.aggregate_id.to_string());
                checkpoint::park(&tx, T::NAME, event, &why).await?;
            }
        }
        T::write_in_tx(&tx, changes).await?;
        if from < batch.through {
            checkpoint::move_to(&tx, T::NAME, batch.through).await?;
        }
        if !batch.events.is_empty() {
            reach(Point::BeforeFoldCommit).await;
        }
        tx.commit().await?;
        if !batch.events.is_empty() {
            reach(Point::AfterFoldCommit).await;
        }
        metrics::reaction_handled(T::NAME, batch.events.len() as u64);
        Ok(Applied { through: batch.through, is_caught_up: batch.is_caught_up() })
    }

    async fn handle(&self, pool: &Pool, event: &RecordedEvent) -> Result<(), Failure> {
        let mut changes = T::Changes::default();
        if let Err(unreadable) = T::fold(&mut changes, event) {
            return Err(Failure::Hopeless(unreadable.to_string()));
        }
        let written = async {
            let mut client = pool.get().await?;
            let tx = client.transaction().await?;
            T::write_in_tx(&tx, changes).await?;
            tx.commit().await?;
            Ok::<_, ReactionError>(())
        };
        written.await.map_err(|error| Failure::Away(with_causes(&error)))
    }
}

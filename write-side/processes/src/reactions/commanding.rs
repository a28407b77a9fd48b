//! Reactions that send commands: idempotent ones, in the order of the log, and the checkpoint moves
//! after them. An event that cannot be handled is parked with everything later of its stream.

use std::collections::HashSet;

use contracts::{Actor, Metadata, RecordedEvent};
use deadpool_postgres::Pool;
use domain::EventSourced;
use event_feed::{FeedReader, Filter};
use event_store::{CommandContext, DispatchError, StoreError};
use service_kit::vault::VaultError;

use super::{Applied, Failure, ReactionError, checkpoint};
use crate::failpoints::{Point, reach};
use crate::metrics;
use crate::relay::with_causes;

/// A reaction whose effects are commands.
pub(super) trait Commanding: Send + Sync {
    /// The stored name of the reaction; also a metric label.
    const NAME: &'static str;
    /// The stored names of the events it reads.
    const EVENT_TYPES: &'static [&'static str];

    /// Sends what follows from one event.
    fn react(
        &self,
        pool: &Pool,
        event: &RecordedEvent,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Applies the next batch after the checkpoint of `reaction` and moves the checkpoint.
pub(super) async fn apply_batch<C: Commanding>(
    reaction: &C,
    feed: &FeedReader,
    pool: &Pool,
    limit: u32,
) -> Result<Applied, ReactionError> {
    let from = checkpoint::read(pool, C::NAME).await?;
    let batch = feed.read(from, &Filter::events(C::EVENT_TYPES), limit).await?;
    // Whatever a batch parks is noted here as well, for the streams that come again in it.
    let mut parked = checkpoint::parked_among(&pool.get().await?, C::NAME, &batch.events).await?;
    let mut handled = from;
    for event in &batch.events {
        if let Err(error) = handle_or_park(reaction, pool, event, &mut parked).await {
            // What is done need not be sent again, while what failed is tried again.
            checkpoint::move_to(&pool.get().await?, C::NAME, handled).await?;
            return Err(error);
        }
        reach(Point::BeforeCheckpoint).await;
        metrics::reaction_handled(C::NAME, 1);
        handled = event.position;
    }
    if from < batch.through {
        checkpoint::move_to(&pool.get().await?, C::NAME, batch.through).await?;
        if from < handled {
            reach(Point::AfterCheckpoint).await;
        }
    }
    Ok(Applied { through: batch.through, is_caught_up: batch.is_caught_up() })
}

async fn handle_or_park<C: Commanding>(
    reaction: &C,
    pool: &Pool,
    event: &RecordedEvent,
    parked: &mut HashSet<String>,
) -> Result<(), ReactionError> {
    // An event that was parked itself is handled again and parked again, if it must be.
    let is_parked = parked.contains(&event.aggregate_id.to_string())
        && checkpoint::is_stream_parked(&pool.get().await?, C::NAME, event).await?;
    let outcome = if is_parked {
        Err(Failure::Hopeless(checkpoint::BEHIND_PARKED.to_owned()))
    } else {
        reaction.react(pool, event).await
    };
    match outcome {
        Ok(()) => Ok(()),
        Err(Failure::Away(why)) => Err(ReactionError::Away(why)),
        Err(Failure::Hopeless(why)) => {
            parked.insert(event.aggregate_id.to_string());
            checkpoint::park(&pool.get().await?, C::NAME, event, &why).await
        }
    }
}

/// Commands of a reaction carry on the chain of what they react to.
pub(super) fn context<A: EventSourced>(event: &RecordedEvent) -> CommandContext<A> {
    let chain = serde_json::from_value::<Metadata>(event.metadata.clone());
    let correlation_id = chain.map_or_else(|_| event.position.to_string(), |it| it.correlation_id);
    CommandContext::new(Metadata {
        actor: Actor::System("reactions".to_owned()),
        correlation_id,
        causation_id: Some(format!("{}/{}", event.aggregate_id, event.sequence)),
        idempotency_key: None,
    })
}

pub(super) fn dispatch_failure<R: domain::Refusal>(error: DispatchError<R>) -> Failure {
    match error {
        DispatchError::Refused(refusal) => Failure::Hopeless(refusal.to_string()),
        DispatchError::Store(error) => store_failure(error),
        error @ (DispatchError::Stale { .. }
        | DispatchError::Conflict
        | DispatchError::ClaimTaken { .. }
        | DispatchError::KeyReused) => Failure::Away(error.to_string()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(super) fn store_failure(error: StoreError) -> Failure {
    if error.is_transient() {
        return Failure::Away(with_causes(&error));
    }
    match error {
        StoreError::Decode(_) | StoreError::Corrupt { .. } => {
            Failure::Hopeless(with_causes(&error))
        }
        // A statement that the database refuses today may be mended without touching the event.
        StoreError::Database(_)
        | StoreError::Settings
        | StoreError::Unavailable(_)
        | StoreError::OutcomeUnknown => Failure::Away(with_causes(&error)),
    }
}

pub(super) fn vault_failure(error: &VaultError) -> Failure {
    match error {
        VaultError::Keys(_) => Failure::Away(with_causes(error)),
        VaultError::NoKey(_)
        | VaultError::NotAuthentic
        | VaultError::WrongMasterKey(_)
        | VaultError::Shape => Failure::Hopeless(with_causes(error)),
    }
}

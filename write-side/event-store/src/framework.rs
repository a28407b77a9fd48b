//! The store as cqrs-es wants it, so that `CqrsFramework` works on our log.
//!
//! It loads through postgres-es and commits through `append_events`. What the framework lacks
//! (retries, receipts, positions) is what [`Executor`](crate::Executor) adds.

use std::collections::HashMap;

use contracts::{Actor, Metadata, decode};
use cqrs_es::persist::{PersistedEventRepository as _, SerializedEvent};
use cqrs_es::{AggregateContext, AggregateError, EventEnvelope, EventStore};
use domain::{EventSourced, Fact};
use serde_json::Value;
use uuid::Uuid;

use crate::append::Outcome;
use crate::encode::append_of;
use crate::error::{AppendError, StoreError};
use crate::postgres::PgEventStore;

/// An aggregate on its way through the framework.
#[derive(Debug)]
pub struct Context<A> {
    id: Uuid,
    version: u64,
    /// The command of the last event.
    predecessor: Option<Uuid>,
    /// As loaded. The framework changes `current` while the command is handled, and effects must
    /// see each event's own state.
    before: A,
    current: A,
}

impl<A: EventSourced> AggregateContext<A> for Context<A> {
    fn aggregate(&mut self) -> &mut A {
        &mut self.current
    }
}

impl<A: EventSourced> EventStore<A> for PgEventStore {
    type AC = Context<A>;

    async fn load_events(
        &self,
        aggregate_id: &str,
    ) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        let stored = self.repository().get_events::<A>(aggregate_id).await?;
        stored.into_iter().map(envelope).collect()
    }

    async fn load_aggregate(
        &self,
        aggregate_id: &str,
    ) -> Result<Context<A>, AggregateError<A::Error>> {
        let id: Uuid = aggregate_id.parse().map_err(unexpected)?;
        let history = self.load::<A>(id).await.map_err(framework_error)?;
        let before = A::replay(&history.events);
        Ok(Context {
            id,
            version: history.events.len() as u64,
            predecessor: history.last.map(|last| last.command_id),
            current: before.clone(),
            before,
        })
    }

    async fn commit(
        &self,
        events: Vec<A::Event>,
        context: Context<A>,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let bodies: Vec<A::Body> = events.into_iter().map(|fact| fact.0).collect();
        let mut state = context.before;
        let at = (context.version, context.predecessor);
        let append = append_of(context.id, at, &mut state, &bodies, &metadata_of(&metadata))
            .map_err(unexpected)?;
        match self.write(append).await {
            Ok(Outcome::Written(_) | Outcome::Replayed(_)) => {}
            Err(AppendError::Conflict) => return Err(AggregateError::AggregateConflict),
            Err(AppendError::Store(error)) => return Err(framework_error(error)),
            Err(error @ (AppendError::ClaimTaken { .. } | AppendError::KeyReused)) => {
                return Err(unexpected(error));
            }
        }
        let envelopes = (1..).zip(bodies).map(|(offset, body)| EventEnvelope {
            aggregate_id: context.id.to_string(),
            sequence: usize::try_from(context.version).unwrap_or(usize::MAX) + offset,
            payload: Fact(body),
            metadata: metadata.clone(),
        });
        Ok(envelopes.collect())
    }
}

/// The framework's metadata is flat text; ours has an actor. Unknown entries have no place.
fn metadata_of(given: &HashMap<String, String>) -> Metadata {
    Metadata {
        actor: Actor::System(given.get("actor").cloned().unwrap_or_else(|| "framework".to_owned())),
        correlation_id: given.get("correlation_id").cloned().unwrap_or_default(),
        causation_id: given.get("causation_id").cloned(),
        idempotency_key: None,
    }
}

fn envelope<A: EventSourced>(
    stored: SerializedEvent,
) -> Result<EventEnvelope<A>, AggregateError<A::Error>> {
    let body: A::Body = decode(&stored.event_type, &stored.event_version, stored.payload)
        .map_err(|error| AggregateError::DeserializationError(Box::new(error)))?;
    let metadata = match stored.metadata {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| match value {
                Value::String(text) => (name, text),
                other @ (Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_)) => (name, other.to_string()),
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            HashMap::new()
        }
    };
    Ok(EventEnvelope {
        aggregate_id: stored.aggregate_id,
        sequence: stored.sequence,
        payload: Fact(body),
        metadata,
    })
}

fn unexpected<E: std::error::Error>(
    error: impl std::error::Error + Send + Sync + 'static,
) -> AggregateError<E> {
    AggregateError::UnexpectedError(Box::new(error))
}

fn framework_error<E: std::error::Error>(error: StoreError) -> AggregateError<E> {
    match error {
        StoreError::Decode(error) => AggregateError::DeserializationError(Box::new(error)),
        error @ (StoreError::Unavailable(_)
        | StoreError::OutcomeUnknown
        | StoreError::Corrupt { .. }
        | StoreError::Database(_)
        | StoreError::Settings) => AggregateError::DatabaseConnectionError(Box::new(error)),
    }
}

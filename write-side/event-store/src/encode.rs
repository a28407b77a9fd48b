//! Turns decided events into an [`Append`].

use contracts::{DecodeError, EventBody, Metadata};
use domain::EventSourced;
use uuid::Uuid;

use crate::append::{Append, NewEvent, OutboxRow, Receipt, outbox_id};

/// Encodes `events`, decided at `version` from the state `state`, and moves `state` past them.
/// `predecessor` is the command of the last event in `state`.
///
/// # Errors
/// [`DecodeError`] when an event has no JSON form, which no event of ours lacks.
pub(crate) fn append_of<A: EventSourced>(
    id: Uuid,
    (version, predecessor): (u64, Option<Uuid>),
    state: &mut A,
    events: &[A::Body],
    metadata: &Metadata,
) -> Result<Append, DecodeError> {
    let mut encoded = Vec::with_capacity(events.len());
    let mut outbox = Vec::new();
    let mut claims = Vec::new();
    for (sequence, event) in (version + 1..).zip(events) {
        encoded.push(encode(event)?);
        state.evolve(event);
        for (effect_index, effect) in (0..).zip(state.effects(event)) {
            outbox.push(OutboxRow {
                id: outbox_id(A::TYPE, id, sequence, effect_index),
                sequence,
                effect_index,
                kind: effect.kind(),
                payload: json_text(effect.kind(), &effect)?,
            });
        }
        claims.extend(A::claims(event));
    }
    Ok(Append {
        command_id: Uuid::now_v7(),
        aggregate_type: A::TYPE,
        aggregate_id: id,
        expected_version: version,
        predecessor,
        events: encoded,
        metadata: json_text("metadata", metadata)?,
        correlation_id: metadata.correlation_id.clone(),
        outbox,
        claims,
        receipt: None::<Receipt>,
    })
}

/// The body of `event` alone.
///
/// An event is written as `{"Name":body}`; cutting the body out of the text spares a tree of values
/// a command. What doesn't look like that takes the long way.
fn encode<E: EventBody>(event: &E) -> Result<NewEvent, DecodeError> {
    let event_type = event.event_type();
    let tagged = json_text(event_type, event)?;
    let body = tagged
        .strip_prefix("{\"")
        .and_then(|rest| rest.strip_prefix(event_type))
        .and_then(|rest| rest.strip_prefix("\":"))
        .and_then(|rest| rest.strip_suffix('}'));
    let payload = match body {
        Some(body) => body.to_owned(),
        None => event.encode()?.to_string(),
    };
    Ok(NewEvent { event_type, event_version: event.event_version(), payload })
}

fn json_text<T: serde::Serialize>(name: &str, value: &T) -> Result<String, DecodeError> {
    serde_json::to_string(value)
        .map_err(|source| DecodeError::Body { event_type: name.to_owned(), source })
}

//! What one command writes: its events and all that shares their transaction.

use std::time::Duration;

use contracts::{Claim, Position};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// Everything one command writes, or nothing of it.
#[derive(Debug, Clone)]
pub struct Append {
    /// Names this append for ever: how a writer knows its own events after a lost answer.
    pub command_id: Uuid,
    /// The aggregate's stored name.
    pub aggregate_type: &'static str,
    /// Which stream.
    pub aggregate_id: Uuid,
    /// Events the stream must hold; the first new one gets the next number.
    pub expected_version: u64,
    /// The command of the event at that version, as the state that was decided on has it: a stream
    /// that holds another event there is at another version, whatever its number. `None` checks the
    /// number alone.
    pub predecessor: Option<Uuid>,
    /// In order. Empty when the command changes nothing.
    pub events: Vec<NewEvent>,
    /// `contracts::Metadata` as JSON text, stored with every event.
    pub metadata: String,
    /// The request id, repeated in the outbox rows.
    pub correlation_id: String,
    /// The effects the events ask for.
    pub outbox: Vec<OutboxRow>,
    /// Names taken and given back, in order.
    pub claims: Vec<Claim>,
    /// The idempotency receipt, if the command came with a key.
    pub receipt: Option<Receipt>,
}

impl Append {
    /// The stream's version once this is written.
    pub fn version_after(&self) -> u64 {
        self.expected_version + self.events.len() as u64
    }
}

/// One event, encoded.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its stored name.
    pub event_type: &'static str,
    /// The version of its body.
    pub event_version: u16,
    /// Its body alone, as JSON text.
    pub payload: String,
}

/// One effect, as a row for the relay.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    /// Always the same for the same effect of the same event: see [`outbox_id`].
    pub id: Uuid,
    /// The event that asks for it.
    pub sequence: u64,
    /// Its place among that event's effects, from 0.
    pub effect_index: u32,
    /// The sort of call.
    pub kind: &'static str,
    /// `domain::Effect` as JSON text.
    pub payload: String,
}

/// The record that a command with this key was carried out, and how it was answered.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Whose keys: one scope never meets another's.
    pub scope: String,
    /// The client's key.
    pub key: String,
    /// Digest of the request; the same key with another digest is refused.
    pub request_digest: String,
    /// How long the record is kept at least.
    pub keep_for: Duration,
    /// The answer that a repetition gets.
    pub result: Value,
}

/// What identifies an event for ever. A position alone does not: a log that was set back hands its
/// positions out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct EventIdentity {
    /// Its place in the log.
    pub position: Position,
    /// The append that wrote it.
    pub command_id: Uuid,
}

/// What an append came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Written now; one position an event, in order.
    Written(Vec<Position>),
    /// Written earlier under the same key; nothing was written now.
    Replayed(StoredReceipt),
}

/// A receipt as found in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredReceipt {
    /// Digest of the request that made it.
    pub request_digest: String,
    /// The append that made it.
    pub command_id: Uuid,
    /// The stream's version before the command.
    pub first_version: u64,
    /// The stream's version after it.
    pub last_version: u64,
    /// Where its events lie, in order.
    pub positions: Vec<Position>,
    /// The answer it was given.
    pub result: Value,
}

/// The id of effect number `index` of event number `sequence` of a stream; always the same one, so
/// that an effect can be told from its repetition everywhere.
pub fn outbox_id(aggregate_type: &str, aggregate_id: Uuid, sequence: u64, index: u32) -> Uuid {
    let name = format!("outbox/{aggregate_type}/{aggregate_id}/{sequence}/{index}");
    Uuid::new_v5(&contracts::ids::NAMESPACE, name.as_bytes())
}

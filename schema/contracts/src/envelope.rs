//! The envelope: what surrounds an event's body in the log, and how a body is encoded and decoded.
//!
//! The `payload` column holds the body alone; its name and version stand in columns of their own.
//! An event type is one variant of one aggregate's enum ([`EventBody`]); decoding brings an older
//! version forward through the aggregate's upcaster, one step at a time.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::ids::UserId;

/// A place in the global order of the log; 0 stands before the first event.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(i64);

impl Position {
    /// Before the first event.
    pub const START: Self = Self(0);

    /// The position with this number.
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// The number, as stored.
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The opaque token that `Event-Position` carries. Clients compare nothing and parse nothing.
    pub fn token(self) -> String {
        format!("p1-{:x}", self.0)
    }

    /// Reads a token back; `None` when it is not one of ours.
    pub fn from_token(token: &str) -> Option<Self> {
        let digits = token.strip_prefix("p1-")?;
        i64::from_str_radix(digits, 16).ok().filter(|number| 0 <= *number).map(Self)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// On whose behalf a command ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A signed-in shopper.
    User(UserId),
    /// A signed-in administrator.
    Admin(UserId),
    /// A process of ours, by name: `relay`, `reactions`, `expiry`, `import`, …
    System(String),
}

/// Who, why and within what: stored with every event, never personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// On whose behalf.
    pub actor: Actor,
    /// The request id that started the chain.
    pub correlation_id: String,
    /// What caused this command directly: an event `stream/sequence`, an outbox id, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// The idempotency key of the command, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// One row of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedEvent {
    /// Place in the global order.
    pub position: Position,
    /// Which kind of aggregate: `order`, `cart`, …
    pub aggregate_type: String,
    /// Which one of its kind.
    pub aggregate_id: Uuid,
    /// Place in the aggregate's own history, from 1.
    pub sequence: i64,
    /// The stored name of the event, for example `OrderPlaced`.
    pub event_type: String,
    /// The version of its body, for example `1`.
    pub event_version: String,
    /// The body alone.
    pub payload: Value,
    /// Who and why.
    pub metadata: Value,
    /// When the database took it.
    pub recorded_at: DateTime<Utc>,
}

impl RecordedEvent {
    /// The body as an event of aggregate `E`.
    ///
    /// # Errors
    /// [`DecodeError`] when it belongs to another aggregate or cannot be read.
    pub fn decode<E: EventBody>(&self) -> Result<E, DecodeError> {
        if self.aggregate_type != E::AGGREGATE_TYPE {
            return Err(DecodeError::OtherAggregate { found: self.aggregate_type.clone() });
        }
        decode(&self.event_type, &self.event_version, self.payload.clone())
    }
}

/// The events of one aggregate.
pub trait EventBody:
    Serialize + DeserializeOwned + Clone + PartialEq + fmt::Debug + Send + Sync + 'static
{
    /// The aggregate's stored name: `order`, `cart`, …
    const AGGREGATE_TYPE: &'static str;
    /// Every stored event name of this aggregate, with its current version.
    const TYPES: &'static [(&'static str, u16)];

    /// The stored name of this event; the same as its serde tag.
    fn event_type(&self) -> &'static str;

    /// Brings a body one version forward: from `version` to `version + 1`.
    ///
    /// # Errors
    /// [`DecodeError::UnknownVersion`] when there is no such step.
    fn upcast(event_type: &str, version: u16, body: Value) -> Result<Value, DecodeError> {
        drop(body);
        Err(DecodeError::UnknownVersion {
            event_type: event_type.to_owned(),
            version: version.to_string(),
        })
    }

    /// The version this build writes for this event.
    fn event_version(&self) -> u16 {
        version_of::<Self>(self.event_type()).unwrap_or(1)
    }

    /// The body alone, as the `payload` column stores it.
    ///
    /// # Errors
    /// [`DecodeError::Body`] when it has no JSON form, which no event of ours lacks.
    fn encode(&self) -> Result<Value, DecodeError> {
        let event_type = self.event_type();
        let body_error = |source| DecodeError::Body { event_type: event_type.to_owned(), source };
        match serde_json::to_value(self).map_err(body_error)? {
            Value::Object(mut tagged) => Ok(tagged.remove(event_type).unwrap_or(Value::Null)),
            // An event without fields is written as its bare name; its body is nothing.
            Value::String(_) => Ok(Value::Null),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
                Ok(other)
            }
        }
    }
}

/// Why a stored event could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The aggregate has no such event.
    #[error("unknown event type {event_type}")]
    UnknownType {
        /// The stored name.
        event_type: String,
    },
    /// The version is newer than this build, or no upcaster leads on from it.
    #[error("unknown version {version} of {event_type}")]
    UnknownVersion {
        /// The stored name.
        event_type: String,
        /// The stored version.
        version: String,
    },
    /// The row belongs to another aggregate.
    #[error("an event of aggregate {found}")]
    OtherAggregate {
        /// The aggregate the row names.
        found: String,
    },
    /// The body does not have the shape of its type.
    #[error("decode the body of {event_type}")]
    Body {
        /// The stored name.
        event_type: String,
        /// What serde found.
        #[source]
        source: serde_json::Error,
    },
}

fn version_of<E: EventBody>(event_type: &str) -> Option<u16> {
    E::TYPES.iter().find(|(name, _)| *name == event_type).map(|(_, version)| *version)
}

/// Reads a stored body as an event of `E`, bringing older versions forward step by step.
///
/// # Errors
/// [`DecodeError`]; nothing is guessed and nothing is skipped.
pub fn decode<E: EventBody>(
    event_type: &str,
    event_version: &str,
    payload: Value,
) -> Result<E, DecodeError> {
    let Some(current) = version_of::<E>(event_type) else {
        return Err(DecodeError::UnknownType { event_type: event_type.to_owned() });
    };
    let unknown_version = || DecodeError::UnknownVersion {
        event_type: event_type.to_owned(),
        version: event_version.to_owned(),
    };
    let stored: u16 = event_version.parse().ok().ok_or_else(unknown_version)?;
    if current < stored || stored == 0 {
        return Err(unknown_version());
    }
    let mut body = payload;
    for version in stored..current {
        body = E::upcast(event_type, version, body)?;
    }
    let tagged = Value::Object(Map::from_iter([(event_type.to_owned(), body)]));
    serde_json::from_value(tagged)
        .map_err(|source| DecodeError::Body { event_type: event_type.to_owned(), source })
}

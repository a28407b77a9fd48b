//! What a projection is: tables, the events it reads, and a pure fold. Nothing else reaches it.
//!
//! A fold works on documents (an item, an order, a cart). Which rows a document stands for, in which
//! tables, is a pure function too, so that a live batch, a rebuild and a verification cannot differ:
//! they all fold the same documents and derive the same rows.

use contracts::events::{CartEvent, ItemEvent, OrderEvent};
use contracts::{DecodeError, EventBody, RecordedEvent, decode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use service_kit::causes::with_causes;
use uuid::Uuid;

use crate::cell::{Cell, CellType, Row};
use crate::documents::Documents;

/// A table of a projection. Its first columns are its primary key.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// The name without its version: `item_by_category`.
    pub name: &'static str,
    /// The columns that the fold writes, in order. The table may have others with defaults.
    pub columns: &'static [(&'static str, CellType)],
    /// How many of the first columns make up the primary key.
    pub key_columns: usize,
    /// Whether queries see it, through a view of this name.
    pub is_served: bool,
}

impl Table {
    /// The name of the table of one version: `item_by_category_v2`.
    pub fn versioned(&self, version: i32) -> String {
        format!("{}_v{version}", self.name)
    }

    /// The primary key within `row`.
    pub fn key_of<'row>(&self, row: &'row Row) -> &'row [Cell] {
        row.get(..self.key_columns).unwrap_or(row)
    }
}

/// Which document: the index of the table that remembers it, and its primary key there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey {
    /// Index in [`Projection::TABLES`]; a table of documents has a primary key of one column.
    pub table: usize,
    /// The value of that column.
    pub id: Cell,
}

impl DocumentKey {
    /// The document with this id in table `table`.
    pub fn of(table: usize, id: Uuid) -> Self {
        Self { table, id: Cell::Uuid(id) }
    }
}

/// An event as folds see it.
#[derive(Debug, Clone)]
pub struct Event {
    /// Place in the global order.
    pub position: i64,
    /// Whose history it belongs to.
    pub aggregate_id: Uuid,
    /// Place in that history, from 1: the aggregate's version after it.
    pub sequence: i64,
    /// What happened.
    pub body: Body,
}

/// What happened, to one of the aggregates that projections read.
#[derive(Debug, Clone)]
pub enum Body {
    /// To an item.
    Item(ItemEvent),
    /// To a cart.
    Cart(CartEvent),
    /// To an order.
    Order(OrderEvent),
}

impl Event {
    /// Reads a row of the log.
    ///
    /// # Errors
    /// [`Unreadable`]: this build doesn't know the type or its version, the body is none of its type,
    /// or the aggregate is none that projections read.
    pub fn decode(recorded: RecordedEvent) -> Result<Self, Unreadable> {
        let RecordedEvent { event_type, event_version, payload, .. } = recorded;
        let body = match recorded.aggregate_type.as_str() {
            ItemEvent::AGGREGATE_TYPE => {
                decode(&event_type, &event_version, payload).map(Body::Item)
            }
            CartEvent::AGGREGATE_TYPE => {
                decode(&event_type, &event_version, payload).map(Body::Cart)
            }
            OrderEvent::AGGREGATE_TYPE => {
                decode(&event_type, &event_version, payload).map(Body::Order)
            }
            other => {
                let refusal = Refusal::new(format!("no projection reads aggregate {other}"));
                return Err(Unreadable::Malformed(refusal));
            }
        };
        Ok(Self {
            position: recorded.position.number(),
            aggregate_id: recorded.aggregate_id,
            sequence: recorded.sequence,
            body: body?,
        })
    }
}

/// Why a row of the log is no event that a fold can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// This build doesn't know the type or its version: it is older than the one that wrote the event.
    /// The model stops, because the next deploy can read it.
    Unknown(Refusal),
    /// The row is none that any build writes. The event is parked.
    Malformed(Refusal),
}

impl From<DecodeError> for Unreadable {
    fn from(error: DecodeError) -> Self {
        let refusal = Refusal::new(with_causes(&error));
        match error {
            DecodeError::UnknownType { .. } | DecodeError::UnknownVersion { .. } => {
                Self::Unknown(refusal)
            }
            DecodeError::OtherAggregate { .. } | DecodeError::Body { .. } => {
                Self::Malformed(refusal)
            }
        }
    }
}

/// Why a fold can't take an event: a sentence for operators, without personal data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

impl Refusal {
    /// Refuses for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// Why folding an event stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A document is needed that was not loaded; noted, and asked again once it is.
    Missing,
    /// The event cannot be folded, whatever is loaded.
    Refused(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A read model: its tables, the events it reads, and a pure fold.
pub trait Projection: Send + Sync + 'static {
    /// What the fold works on.
    type Document: Clone + PartialEq + Send + Sync + 'static;

    /// The name operators use.
    const NAME: &'static str;
    /// Changes with every change of tables or fold that calls for a rebuild.
    const SHAPE: i32;
    /// Its tables. Those whose rows are documents come with a key of one column.
    const TABLES: &'static [Table];
    /// The stored names of the events it reads.
    const EVENT_TYPES: &'static [&'static str];
    /// Makes the tables of version `{v}`.
    const TABLES_SQL: &'static str;
    /// Makes their indexes; run after a rebuild has filled the tables.
    const INDEXES_SQL: &'static str;
    /// Carries over what no event tells, run when a rebuilt version `{v}` is full; or empty.
    const CARRY_OVER_SQL: &'static str = "";

    /// Folds one event into the documents it touches.
    ///
    /// # Errors
    /// [`Stop::Missing`] from the documents, to be passed on; [`Stop::Refused`] for history that
    /// makes no sense.
    fn apply(event: &Event, documents: &mut Documents<Self::Document>) -> Result<(), Stop>;

    /// Every row that a document stands for, as (index of the table, row).
    ///
    /// # Errors
    /// The document cannot be written down.
    fn rows(key: &DocumentKey, document: &Self::Document) -> Result<Vec<(usize, Row)>, Refusal>;

    /// The document that `row` of table `table` remembers.
    ///
    /// # Errors
    /// The row is none that [`Projection::rows`] makes.
    fn document(table: usize, row: &Row) -> Result<Self::Document, Refusal>;
}

/// What a fold remembers, as the `facts` column keeps it.
///
/// # Errors
/// It has no JSON form, which nothing of ours lacks.
pub(crate) fn facts_of<T: Serialize>(value: &T) -> Result<String, Refusal> {
    serde_json::to_string(value).map_err(|error| Refusal::new(format!("write facts: {error}")))
}

/// What a fold remembered in the last cell of `row`.
///
/// # Errors
/// It is not what [`facts_of`] writes.
pub(crate) fn facts_in<T: DeserializeOwned>(cell: Option<&Cell>) -> Result<T, Refusal> {
    let Some(Cell::Text(facts)) = cell else {
        return Err(Refusal::new("a stored row has no facts"));
    };
    serde_json::from_str(facts).map_err(|error| Refusal::new(format!("read facts: {error}")))
}

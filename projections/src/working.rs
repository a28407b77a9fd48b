//! One projection's fold at work, without its types: what the engine drives.
//!
//! The engine knows tables, rows and events; a projection knows documents. Here the two meet: events
//! go in, missing documents are asked for by table and key, and changed rows come out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::marker::PhantomData;

use contracts::RecordedEvent;
use uuid::Uuid;

use crate::cell::{Cell, Row};
use crate::documents::Documents;
use crate::error::ProjectionError;
use crate::projection::{DocumentKey, Event, Projection, Refusal, Stop, Table, Unreadable};

/// Whose history: kind and id of the aggregate.
pub(crate) type Stream = (String, Uuid);

/// An event of the log, decoded as far as it could be.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// Place in the global order.
    pub(crate) position: i64,
    /// Whose history it belongs to.
    pub(crate) stream: Stream,
    /// Place in that history.
    pub(crate) sequence: i64,
    /// The stored name.
    pub(crate) event_type: String,
    /// The event, or why it cannot be read.
    pub(crate) event: Result<Event, Unreadable>,
}

impl Incoming {
    /// Decodes a row of the log.
    pub(crate) fn of(recorded: RecordedEvent) -> Self {
        Self {
            position: recorded.position.number(),
            stream: (recorded.aggregate_type.clone(), recorded.aggregate_id),
            sequence: recorded.sequence,
            event_type: recorded.event_type.clone(),
            event: Event::decode(recorded),
        }
    }

    /// The error that stops a model here, if this build doesn't know the event's type or version.
    pub(crate) fn unknown(&self) -> Option<ProjectionError> {
        match &self.event {
            Err(Unreadable::Unknown(source)) => Some(ProjectionError::UnknownEvent {
                position: self.position,
                source: source.clone(),
            }),
            Ok(_) | Err(Unreadable::Malformed(_)) => None,
        }
    }
}

/// An event that is set aside: it could not be folded, or waits behind one that could not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Aside {
    /// Its index in the batch.
    pub(crate) index: usize,
    /// Why it could not be folded; `None` when it only waits.
    pub(crate) error: Option<String>,
}

/// What one pass over a batch came to.
#[derive(Debug)]
pub(crate) enum Pass {
    /// Documents are needed first: keys by index of the table.
    Missing(BTreeMap<usize, Vec<Cell>>),
    /// Every event was folded, except these.
    Folded(Vec<Aside>),
}

/// Rows of one table to write and to remove; both in the order of the primary key.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Rows to insert or replace.
    pub(crate) upserts: Vec<Row>,
    /// Primary keys of the rows to remove.
    pub(crate) deletes: Vec<Row>,
}

/// A fold at work on some documents.
pub(crate) trait Working: Send + Sync {
    /// Folds `events` in order. Those of `blocked` streams are set aside.
    fn fold(&mut self, events: &[Incoming], blocked: &HashSet<Stream>) -> Pass;
    /// Takes in the rows found in `table` under the keys `asked`; a key without a row is absent.
    fn supply(&mut self, table: usize, asked: Vec<Cell>, rows: Vec<Row>) -> Result<(), Refusal>;
    /// What is to be written, by index of the table.
    fn changes(&self) -> Result<Vec<Changes>, Refusal>;
    /// Documents in memory.
    fn document_count(&self) -> usize;
}

/// A projection without its types: what the registry holds.
pub(crate) trait Model: Send + Sync {
    fn name(&self) -> &'static str;
    fn shape(&self) -> i32;
    fn tables(&self) -> &'static [Table];
    fn event_types(&self) -> &'static [&'static str];
    fn tables_sql(&self) -> &'static str;
    fn indexes_sql(&self) -> &'static str;
    fn carry_over_sql(&self) -> &'static str;
    /// A fold without documents; if `is_complete`, none exist elsewhere.
    fn working(&self, is_complete: bool) -> Box<dyn Working>;
}

/// Makes a [`Model`] of a [`Projection`].
pub(crate) struct Of<P>(pub(crate) PhantomData<P>);

impl<P: Projection> Model for Of<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn shape(&self) -> i32 {
        P::SHAPE
    }

    fn tables(&self) -> &'static [Table] {
        P::TABLES
    }

    fn event_types(&self) -> &'static [&'static str] {
        P::EVENT_TYPES
    }

    fn tables_sql(&self) -> &'static str {
        P::TABLES_SQL
    }

    fn indexes_sql(&self) -> &'static str {
        P::INDEXES_SQL
    }

    fn carry_over_sql(&self) -> &'static str {
        P::CARRY_OVER_SQL
    }

    fn working(&self, is_complete: bool) -> Box<dyn Working> {
        Box::new(WorkingSet::<P> { documents: Documents::new(is_complete) })
    }
}

/// The documents of one projection.
struct WorkingSet<P: Projection> {
    documents: Documents<P::Document>,
}

impl<P: Projection> WorkingSet<P> {
    /// Folds one event, or leaves everything as it was.
    fn fold_one(&mut self, incoming: &Incoming) -> Result<(), Stop> {
        let event = match &incoming.event {
            Ok(event) => event,
            // Unknown ones get here only when parked events are retried, and stay parked then.
            Err(Unreadable::Unknown(refusal) | Unreadable::Malformed(refusal)) => {
                return Err(Stop::from(refusal.clone()));
            }
        };
        let folded = P::apply(event, &mut self.documents);
        match folded {
            Ok(()) => self.documents.keep(),
            Err(_) => self.documents.undo(),
        }
        folded
    }
}

impl<P: Projection> Working for WorkingSet<P> {
    fn fold(&mut self, events: &[Incoming], blocked: &HashSet<Stream>) -> Pass {
        let mut blocked_here: HashSet<&Stream> = HashSet::new();
        let mut aside = Vec::new();
        let mut is_missing = false;
        for (index, incoming) in events.iter().enumerate() {
            let stream = &incoming.stream;
            if blocked.contains(stream) || blocked_here.contains(stream) {
                aside.push(Aside { index, error: None });
                continue;
            }
            match self.fold_one(incoming) {
                Ok(()) => {}
                Err(Stop::Missing) => is_missing = true,
                Err(Stop::Refused(refusal)) => {
                    blocked_here.insert(stream);
                    aside.push(Aside { index, error: Some(refusal.to_string()) });
                }
            }
        }
        if !is_missing {
            return Pass::Folded(aside);
        }
        // Whatever was folded or refused in this pass may have built on a document that was not
        // there, so all of it is forgotten.
        self.documents.start_over();
        let mut keys: BTreeMap<usize, Vec<Cell>> = BTreeMap::new();
        for DocumentKey { table, id } in self.documents.take_missing() {
            keys.entry(table).or_default().push(id);
        }
        Pass::Missing(keys)
    }

    fn supply(&mut self, table: usize, asked: Vec<Cell>, rows: Vec<Row>) -> Result<(), Refusal> {
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            let document = P::document(table, &row)?;
            let id = row.into_iter().next().unwrap_or(Cell::Null);
            found.insert(id, document);
        }
        for id in asked {
            let document = found.remove(&id);
            self.documents.supply(DocumentKey { table, id }, document);
        }
        Ok(())
    }

    fn changes(&self) -> Result<Vec<Changes>, Refusal> {
        let mut changes: Vec<Changes> = P::TABLES.iter().map(|_| Changes::default()).collect();
        for (key, before, after) in self.documents.changed() {
            let old = before.map(|document| P::rows(key, document)).transpose()?;
            let new = after.map(|document| P::rows(key, document)).transpose()?;
            note(&mut changes, P::TABLES, old.unwrap_or_default(), new.unwrap_or_default());
        }
        for table in &mut changes {
            table.upserts.sort_unstable();
            table.deletes.sort_unstable();
        }
        Ok(changes)
    }

    fn document_count(&self) -> usize {
        self.documents.len()
    }
}

/// Notes how the rows of one document changed.
fn note(changes: &mut [Changes], tables: &[Table], old: Vec<(usize, Row)>, new: Vec<(usize, Row)>) {
    let key_of = |index: usize, row: &Row| {
        tables.get(index).map_or_else(|| row.clone(), |table| table.key_of(row).to_vec())
    };
    let mut gone: HashMap<(usize, Row), Row> =
        old.into_iter().map(|(index, row)| ((index, key_of(index, &row)), row)).collect();
    for (index, row) in new {
        let is_same = gone.remove(&(index, key_of(index, &row))).is_some_and(|old| old == row);
        if let (false, Some(table)) = (is_same, changes.get_mut(index)) {
            table.upserts.push(row);
        }
    }
    for (index, key) in gone.into_keys() {
        if let Some(table) = changes.get_mut(index) {
            table.deletes.push(key);
        }
    }
}

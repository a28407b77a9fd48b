//! A log in memory, and what the models make of it.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use contracts::{EventBody, Position, RecordedEvent};
use serde_json::Value;
use uuid::Uuid;

use crate::cell::{Cell, Row};
use crate::models::model;
use crate::working::{Incoming, Pass};

pub(super) const A: Uuid = Uuid::from_u128(0xa);
pub(super) const B: Uuid = Uuid::from_u128(0xb);

/// A log in memory.
#[derive(Default)]
pub(super) struct Log(Vec<RecordedEvent>);

impl Log {
    pub(super) fn with<E: EventBody>(mut self, id: Uuid, event: &E) -> Self {
        let sequence = self.0.iter().filter(|it| it.aggregate_id == id).count() + 1;
        self.0.push(RecordedEvent {
            position: Position::new(i64::try_from(self.0.len()).unwrap() + 1),
            aggregate_type: E::AGGREGATE_TYPE.to_owned(),
            aggregate_id: id,
            sequence: i64::try_from(sequence).unwrap(),
            event_type: event.event_type().to_owned(),
            event_version: "1".to_owned(),
            payload: event.encode().unwrap(),
            metadata: Value::Null,
            recorded_at: noon(),
        });
        self
    }

    pub(super) fn incoming(&self, name: &str) -> Vec<Incoming> {
        let wanted = model(name).unwrap().event_types();
        let read = self.0.iter().filter(|it| wanted.contains(&it.event_type.as_str()));
        read.cloned().map(Incoming::of).collect()
    }

    /// The rows of one table of a projection, or the first refusal.
    pub(super) fn rows(&self, name: &str, table: usize) -> Result<Vec<Row>, String> {
        let mut working = model(name).unwrap().working(true);
        let Pass::Folded(aside) = working.fold(&self.incoming(name), &HashSet::new()) else {
            panic!("a complete working set lacks nothing");
        };
        if let Some(first) = aside.into_iter().next() {
            return Err(first.error.unwrap());
        }
        Ok(std::mem::take(&mut working.changes().unwrap()[table].upserts))
    }

    /// One column of the only row of a table.
    pub(super) fn only(&self, name: &str, column: usize) -> Cell {
        let rows = self.rows(name, 0).unwrap();
        assert_eq!(rows.len(), 1);
        rows[0][column].clone()
    }
}

pub(super) fn noon() -> DateTime<Utc> {
    "2026-11-23T03:00:00Z".parse().unwrap()
}

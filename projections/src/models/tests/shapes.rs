//! What a model reads and makes of it is tied to its shape. `BLESS=1` writes the files in
//! `tests/shapes` anew, of models whose shape changed.
//!
//! A projector follows versions of its own shape alone, and passes over events of types that a model
//! does not want. So a build that wants another type, or folds otherwise, must have another shape: its
//! rows are then made anew from the beginning of the log, and never on top of what an older build made.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use contracts::events::{CartEvent, ItemEvent, OrderEvent};
use contracts::{EventBody, decode};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::log::{A, B, Log};
use crate::models::MODELS;
use crate::working::{Model, Pass};

/// How the stored form of an event looks in `schema/events`.
#[derive(Deserialize)]
struct Golden {
    event_version: String,
    payload: Value,
}

/// Those events of `E` that are `read`, as their first version was stored, in the order of its list.
fn course<E: EventBody>(mut log: Log, id: Uuid, read: impl Fn(&str) -> bool) -> Log {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/events");
    for (name, _) in E::TYPES.iter().filter(|(name, _)| read(name)) {
        let text = fs::read(directory.join(format!("{name}.v1.json"))).unwrap();
        let golden: Golden = serde_json::from_slice(&text).unwrap();
        let event: E = decode(name, &golden.event_version, golden.payload).unwrap();
        log = log.with(id, &event);
    }
    log
}

/// Of what `model` reads, an item, a cart, and an order with and without its money. Events of other
/// types leave no gap, so that a new one changes nothing here.
fn history(model: &dyn Model) -> Log {
    let read = |name: &str| model.event_types().contains(&name);
    let log = course::<ItemEvent>(Log::default(), A, read);
    let log = course::<CartEvent>(log, A, read);
    let log = course::<OrderEvent>(log, A, read);
    let is_money = |name: &str| ["PaymentApproved", "RefundSucceeded"].contains(&name);
    course::<OrderEvent>(log, B, |name| read(name) && !is_money(name))
}

/// The shape, the tables, the events, and a digest of all rows after each of them or why it is refused.
fn described(model: &dyn Model) -> String {
    let statements = model.tables_sql().lines().filter(|line| !line.trim_start().starts_with("--"));
    let mut lines = vec![format!("shape {}", model.shape())];
    lines.push(format!("tables {}", digest(&statements.collect::<String>())));
    for table in model.tables() {
        let columns: Vec<_> = table.columns.iter().map(|(name, _)| *name).collect();
        lines.push(format!("{}: {}", table.name, columns.join(" ")));
    }
    lines.extend(model.event_types().iter().map(|name| format!("reads {name}")));
    let mut working = model.working(true);
    for event in history(model).incoming(model.name()) {
        let name = event.event_type.clone();
        let Pass::Folded(aside) = working.fold(&[event], &HashSet::new()) else {
            panic!("a complete working set lacks nothing");
        };
        let made = match aside.into_iter().next() {
            Some(aside) => aside.error.unwrap(),
            None => digest(&format!("{:?}", working.changes().unwrap())),
        };
        lines.push(format!("{name}: {made}"));
    }
    lines.join("\n") + "\n"
}

fn digest(text: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).to_string()
}

/// Seen to fail with `PaymentReturned` taken out of what `order_history` reads.
#[test]
fn what_a_model_reads_and_makes_changes_with_its_shape_alone() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shapes");
    let bless = service_kit::config::environment()("BLESS").is_some();
    for model in MODELS {
        let (name, now) = (model.name(), described(model));
        let path = directory.join(format!("{name}.txt"));
        let stored = fs::read_to_string(&path).unwrap_or_default();
        if stored == now {
            continue;
        }
        let is_same_shape = stored.lines().next() == now.lines().next();
        assert!(!is_same_shape, "{name} needs another SHAPE: was\n{stored}\nis\n{now}");
        assert!(bless, "{name} has another shape: BLESS=1 writes it anew");
        fs::write(&path, now).unwrap();
    }
}

//! Every event ever stored still reads, and reads as the same thing.
//!
//! `schema/events/` holds one file per event type and version, added and never edited, and another
//! for each optional field that came later (`TYPE.vN.field.json`). A file of the current version
//! must encode back to itself; an older one must be brought forward.

#![expect(clippy::unwrap_used, reason = "a test panics when what it builds is wrong")]

use std::fs;
use std::path::{Path, PathBuf};

use contracts::events::{CartEvent, ItemEvent, OrderEvent, SubscriptionEvent, UserEvent};
use contracts::{DecodeError, EventBody, decode};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Golden {
    event_type: String,
    event_version: String,
    payload: Value,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")
}

fn files() -> Vec<(String, Golden)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let golden: Golden = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let (begins, ends) = (format!("{}.v{}.", golden.event_type, golden.event_version), ".json");
        assert!(name.starts_with(&begins) && name.ends_with(ends), "{name}");
        files.push((name, golden));
    }
    files
}

fn types() -> Vec<(&'static str, u16)> {
    [
        ItemEvent::TYPES,
        CartEvent::TYPES,
        OrderEvent::TYPES,
        SubscriptionEvent::TYPES,
        UserEvent::TYPES,
    ]
    .concat()
}

fn knows<E: EventBody>(event_type: &str) -> bool {
    E::TYPES.iter().any(|(name, _)| *name == event_type)
}

/// Reads as an event of the aggregate that knows the type, and writes it again.
fn rewrite(event_type: &str, version: &str, payload: Value) -> Result<(u16, Value), DecodeError> {
    fn through<E: EventBody>(
        event_type: &str,
        version: &str,
        payload: Value,
    ) -> Result<(u16, Value), DecodeError> {
        let event: E = decode(event_type, version, payload)?;
        assert_eq!(event.event_type(), event_type);
        Ok((event.event_version(), event.encode()?))
    }
    if knows::<ItemEvent>(event_type) {
        return through::<ItemEvent>(event_type, version, payload);
    }
    if knows::<CartEvent>(event_type) {
        return through::<CartEvent>(event_type, version, payload);
    }
    if knows::<SubscriptionEvent>(event_type) {
        return through::<SubscriptionEvent>(event_type, version, payload);
    }
    if knows::<UserEvent>(event_type) {
        return through::<UserEvent>(event_type, version, payload);
    }
    through::<OrderEvent>(event_type, version, payload)
}

#[test]
fn every_file_decodes_and_a_current_one_encodes_to_itself() {
    for (name, golden) in files() {
        let (current, again) =
            rewrite(&golden.event_type, &golden.event_version, golden.payload.clone())
                .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        if golden.event_version == current.to_string() {
            assert_eq!(again, golden.payload, "{name}");
        }
    }
}

#[test]
fn every_type_has_a_file_for_each_version_up_to_its_current_one() {
    for (event_type, current) in types() {
        for version in 1..=current {
            let file = directory().join(format!("{event_type}.v{version}.json"));
            assert!(file.exists(), "{} is missing", file.display());
        }
    }
}

#[test]
fn stored_names_are_unique_across_aggregates() {
    let mut names: Vec<_> = types().into_iter().map(|(name, _)| name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

/// A newer build may write fields this one doesn't know, while both run during a deploy.
#[test]
fn fields_of_a_newer_build_are_passed_over() {
    fn add_fields(value: &mut Value, name: &str) {
        match value {
            // How the shopper came back is one of several: its one key is its name.
            Value::Object(fields) if name != "returned_as" => {
                for (key, inner) in fields.iter_mut() {
                    add_fields(inner, key);
                }
                fields.insert("added_in_2030".to_owned(), json!({"a": [1, "b", null]}));
            }
            Value::Array(elements) => {
                for element in elements {
                    add_fields(element, name);
                }
            }
            Value::Object(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_) => {}
        }
    }
    for (name, golden) in files() {
        let mut newer = golden.payload.clone();
        add_fields(&mut newer, "");
        let (_, again) = rewrite(&golden.event_type, &golden.event_version, newer)
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let (_, plain) =
            rewrite(&golden.event_type, &golden.event_version, golden.payload).unwrap();
        assert_eq!(again, plain, "{name}");
    }
}

/// The merchant code came later than the event: it is written where it is known, and events without
/// it read as before.
#[test]
fn a_page_may_state_its_merchant_code() {
    let (_, golden) = files().into_iter().find(|(name, _)| name == "PaymentReady.v1.json").unwrap();
    assert!(golden.payload.get("cid").is_none());
    let mut stated = golden.payload.clone();
    stated["cid"] = json!("TC0ONETIME");
    let (_, again) = rewrite("PaymentReady", "1", stated.clone()).unwrap();
    assert_eq!(again, stated);
}

#[test]
fn what_this_build_does_not_know_is_an_error_and_no_guess() {
    let unknown_type = rewrite("OrderTeleported", "1", json!({}));
    assert!(matches!(unknown_type, Err(DecodeError::UnknownType { .. })));
    for version in ["0", "2", "65536", "-1", "", "one", "1.0"] {
        let future = rewrite("CartCleared", version, json!({}));
        assert!(matches!(future, Err(DecodeError::UnknownVersion { .. })), "{version}");
    }
}

#[test]
fn a_broken_body_is_an_error_and_no_panic() {
    for (name, golden) in files() {
        for broken in [json!(null), json!([]), json!("text"), json!(7)] {
            let read = rewrite(&golden.event_type, &golden.event_version, broken);
            assert!(matches!(read, Err(DecodeError::Body { .. })), "{name}");
        }
        let Value::Object(fields) = &golden.payload else { panic!("{name} is no object") };
        for field in fields.keys() {
            let mut wrong = golden.payload.clone();
            wrong[field] = json!({"no": "such value"});
            let read = rewrite(&golden.event_type, &golden.event_version, wrong);
            assert!(matches!(read, Err(DecodeError::Body { .. })), "{name}: {field}");
        }
    }
}

#[test]
fn a_row_of_another_aggregate_is_an_error() {
    let row = contracts::RecordedEvent {
        position: contracts::Position::new(1),
        aggregate_type: "cart".to_owned(),
        aggregate_id: uuid::Uuid::nil(),
        sequence: 1,
        event_type: "CartCleared".to_owned(),
        event_version: "1".to_owned(),
        payload: json!({}),
        metadata: json!({}),
        recorded_at: chrono::DateTime::UNIX_EPOCH,
    };
    assert!(matches!(row.decode::<OrderEvent>(), Err(DecodeError::OtherAggregate { .. })));
}

//! The ministry's API answers, one after the other in one file:
//! `{"header": {…}, "body": {"items": [{"item": {"PRDUCT": …}}]}}`.
//!
//! Read item by item, so that a page of any size takes the memory of one item.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::row::RawRow;
use super::source::{LINE_BYTES_MAX, Rows, Stop, bad_json};

/// What the API calls success.
const SUCCESS: &str = "00";

/// Reads answers to the end of `bytes`.
pub(super) fn read_answers(bytes: impl BufRead, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let budget = Rc::new(Cell::new(LINE_BYTES_MAX));
    let metered = BufReader::new(Metered { inner: bytes, budget: Rc::clone(&budget) });
    let mut json = serde_json::Deserializer::from_reader(metered);
    let mut reading = Reading { rows, budget, items: 0, stop: None };
    while json.end().is_err() {
        let read = Answer(&mut reading).deserialize(&mut json);
        if let Some(stop) = reading.stop.take() {
            return Err(stop);
        }
        read.map_err(|error| Stop::Broken {
            line: reading.items + 1,
            error: io::Error::new(io::ErrorKind::InvalidData, error),
        })?;
    }
    Ok(())
}

/// Fails when one item takes more bytes than a line may have: a string that never ends must not
/// fill the memory.
struct Metered<R> {
    inner: R,
    budget: Rc<Cell<usize>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        let left = self.budget.get().checked_sub(count);
        self.budget.set(left.ok_or_else(|| io::Error::other("an item is too long"))?);
        Ok(count)
    }
}

struct Reading<'a, 'rows> {
    rows: &'a mut Rows<'rows>,
    budget: Rc<Cell<usize>>,
    items: u64,
    /// Why reading ends, when it isn't the JSON's fault.
    stop: Option<Stop>,
}

impl Reading<'_, '_> {
    fn take(&mut self, mut element: Value) -> Result<(), Stop> {
        self.items += 1;
        self.budget.set(LINE_BYTES_MAX);
        let item = element.get_mut("item").map(Value::take).unwrap_or(element);
        match serde_json::from_value::<RawRow>(item) {
            Ok(raw) => self.rows.take(self.items, raw),
            Err(error) => self.rows.refuse(self.items, bad_json(&error)),
        }
    }
}

/// One object of an answer, and which of its fields lead on.
struct Answer<'a, 'b, 'rows>(&'a mut Reading<'b, 'rows>);

impl<'de> DeserializeSeed<'de> for Answer<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Answer<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer of the ministry's API")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut fields: M) -> Result<(), M::Error> {
        while let Some(name) = fields.next_key::<String>()? {
            match name.as_str() {
                "header" => check_header::<M::Error>(&fields.next_value()?)?,
                // The answer may stand in an envelope of its own.
                "response" | "body" => fields.next_value_seed(Answer(self.0))?,
                "items" => fields.next_value_seed(Items(self.0))?,
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

fn check_header<E: serde::de::Error>(header: &Value) -> Result<(), E> {
    match header.get("resultCode").and_then(Value::as_str) {
        Some(SUCCESS) | None => Ok(()),
        Some(code) => Err(E::custom(format_args!("the API answered with result code {code}"))),
    }
}

struct Items<'a, 'b, 'rows>(&'a mut Reading<'b, 'rows>);

impl<'de> DeserializeSeed<'de> for Items<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the items of an answer")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut elements: S) -> Result<(), S::Error> {
        while let Some(element) = elements.next_element::<Value>()? {
            if let Err(stop) = self.0.take(element) {
                self.0.stop = Some(stop);
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

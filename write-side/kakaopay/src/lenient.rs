//! Reads what KakaoPay is known to vary: numbers written as text, absent against null against
//! empty. Strictness here would turn an answer about money into an unknown outcome.

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::answers::Entries;

/// An integer, written as a number or as text.
pub(crate) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    to_integer(&Value::deserialize(deserializer)?)
        .ok_or_else(|| de::Error::custom("not an integer"))
}

/// An integer that may be absent, null or empty; anything else must be one.
pub(crate) fn optional_integer<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<i64>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        value @ (Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_)) => {
            to_integer(&value).map(Some).ok_or_else(|| de::Error::custom("not an integer"))
        }
    }
}

/// Like [`optional_integer`], with nothing counted as zero: for decorations, on which nothing is
/// decided.
pub(crate) fn integer_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Ok(optional_integer(deserializer)?.unwrap_or(0))
}

/// Text that may be absent, null or empty; a number is taken as its digits.
pub(crate) fn optional_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    })
}

/// A yes or no, written as a boolean or as text.
pub(crate) fn optional_bool<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<bool>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(yes) => Some(yes),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "y" => Some(true),
            "false" | "n" => Some(false),
            _ => None,
        },
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

/// A part that only decorates the answer: unreadable is the same as absent.
pub(crate) fn decoration<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: de::DeserializeOwned,
{
    let value = Value::deserialize(deserializer)?;
    // A list would be taken for the fields of a structure, in order.
    if value.is_array() {
        return Ok(None);
    }
    Ok(serde_json::from_value(value).ok())
}

/// A part that may be absent, null or empty, and must be readable otherwise.
pub(crate) fn absent_or<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: de::DeserializeOwned,
{
    let value = Value::deserialize(deserializer)?;
    if value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty()) {
        return Ok(None);
    }
    serde_json::from_value(value).map(Some).map_err(de::Error::custom)
}

/// A list that may be absent or null, without the entries that cannot be read.
pub(crate) fn entries<'de, D, T>(deserializer: D) -> Result<Entries<T>, D::Error>
where
    D: Deserializer<'de>,
    T: de::DeserializeOwned,
{
    let Value::Array(entries) = Value::deserialize(deserializer)? else {
        return Ok(Entries::default());
    };
    let told = entries.len();
    let readable: Vec<T> =
        entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect();
    let is_whole = readable.len() == told;
    Ok(Entries { readable, is_whole })
}

/// A whole body. Only an object is one: a list would be taken for the fields, in order.
pub(crate) fn body<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, serde_json::Error> {
    if bytes.trim_ascii_start().starts_with(b"{") {
        return serde_json::from_slice(bytes);
    }
    // Reading it as a map fails, and says where.
    serde_json::from_slice::<serde_json::Map<String, Value>>(bytes)
        .and_then(|_| Err(de::Error::custom("not an object")))
}

fn to_integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

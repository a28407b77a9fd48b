//! Reads a request body field by field, the way KakaoPay refuses: one wrong field, one code.

use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// A request body, and the code its faults are refused with.
pub(crate) struct Fields<'a> {
    body: &'a Map<String, Value>,
    parameter_code: i64,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(body: &'a Map<String, Value>, parameter_code: i64) -> Self {
        Self { body, parameter_code }
    }

    pub(crate) fn refuse(&self, field: &str) -> Refusal {
        Refusal::new(self.parameter_code, format!("{field} has invalid value"))
    }

    /// A text that must be there, of at most so many characters.
    pub(crate) fn text(&self, field: &str, length_max: usize) -> Result<String, Refusal> {
        self.optional_text(field, length_max)?.ok_or_else(|| self.refuse(field))
    }

    /// A text that may be absent, null or empty.
    pub(crate) fn optional_text(
        &self,
        field: &str,
        length_max: usize,
    ) -> Result<Option<String>, Refusal> {
        match self.body.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= length_max => {
                Ok(Some(text.clone()))
            }
            Some(_) => Err(self.refuse(field)),
        }
    }

    /// A number that must be there and not less than `least`. Text of digits counts as a number.
    pub(crate) fn integer(&self, field: &str, least: i64) -> Result<i64, Refusal> {
        self.optional_integer(field, least)?.ok_or_else(|| self.refuse(field))
    }

    /// A number that may be absent or null.
    pub(crate) fn optional_integer(&self, field: &str, least: i64) -> Result<Option<i64>, Refusal> {
        let number = match self.body.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Number(number)) => number.as_i64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
        };
        match number {
            Some(number) if least <= number => Ok(Some(number)),
            Some(_) | None => Err(self.refuse(field)),
        }
    }
}

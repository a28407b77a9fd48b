//! Reading rows: what is stored in the read models' documents, and how it becomes an answer.

use chrono::{DateTime, FixedOffset, Utc};
use contracts::calendar::kst;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;

use crate::read_error::ReadError;

/// The JSON text in `column` as a `T`.
pub(super) fn document<T: DeserializeOwned>(row: &Row, column: &str) -> Result<T, ReadError> {
    let text: &str = row.try_get(column)?;
    Ok(serde_json::from_str(text)?)
}

/// The word in `column` as a `T` that is read by its name.
pub(super) fn word<T: DeserializeOwned>(row: &Row, column: &str) -> Result<T, ReadError> {
    let word: String = row.try_get(column)?;
    Ok(serde_json::from_value(serde_json::Value::String(word))?)
}

/// The instant in `column`, in Korean time.
pub(super) fn korean_time(row: &Row, column: &str) -> Result<DateTime<FixedOffset>, ReadError> {
    let instant: DateTime<Utc> = row.try_get(column)?;
    Ok(instant.with_timezone(&kst()))
}

//! How values are written into ready-to-send JSON: money and rates without floats, times in Korea.

use chrono::{DateTime, SecondsFormat, Utc};
use contracts::calendar::kst;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::projection::Refusal;

/// A number with a fixed number of decimals, written from an integer: `125` tenths is `12.5`.
pub(crate) fn decimal(units: i64, decimals: u32) -> Result<Box<RawValue>, Refusal> {
    let scale = 10_i64.pow(decimals);
    let (whole, rest) = (units / scale, (units % scale).abs());
    let mut digits = format!("{rest:0width$}", width = decimals as usize);
    while digits.ends_with('0') {
        digits.pop();
    }
    let text = if digits.is_empty() { whole.to_string() } else { format!("{whole}.{digits}") };
    RawValue::from_string(text).map_err(|error| Refusal::new(format!("write a number: {error}")))
}

/// An instant as answers show it: RFC 3339 with milliseconds and `+09:00`.
pub(crate) fn in_korea(at: DateTime<Utc>) -> String {
    at.with_timezone(&kst()).to_rfc3339_opts(SecondsFormat::Millis, false)
}

/// `value` as JSON text.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<String, Refusal> {
    serde_json::to_string(value).map_err(|error| Refusal::new(format!("write JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_written_without_floats() {
        for (tenths, text) in [(0, "0"), (125, "12.5"), (5, "0.5"), (800, "80"), (1000, "100")] {
            assert_eq!(decimal(tenths, 1).unwrap().get(), text);
        }
        assert_eq!(decimal(433, 2).unwrap().get(), "4.33");
        assert_eq!(decimal(405, 2).unwrap().get(), "4.05");
    }

    #[test]
    fn times_are_korean() {
        let at: DateTime<Utc> = "2026-11-23T15:00:00.5Z".parse().unwrap();
        assert_eq!(in_korea(at), "2026-11-24T00:00:00.500+09:00");
    }
}

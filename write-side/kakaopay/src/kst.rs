//! KakaoPay's times: Korean wall clock, to the second, without a zone.

use std::fmt;

use chrono::{DateTime, FixedOffset, NaiveDateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Korea has had no daylight saving since 1988, so the offset is a constant.
const KST_OFFSET: TimeDelta = TimeDelta::hours(9);
const FORMAT: &str = "%Y-%m-%dT%H:%M:%S";

/// An instant as KakaoPay writes it, for example `2016-11-15T21:20:47`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KstTime(NaiveDateTime);

impl KstTime {
    /// Reads KakaoPay's form; fractions of a second and an explicit offset are understood too.
    pub fn parse(text: &str) -> Result<Self, chrono::ParseError> {
        if let Ok(zoned) = DateTime::<FixedOffset>::parse_from_rfc3339(text) {
            return Ok(Self::from_utc(zoned.with_timezone(&Utc)));
        }
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(Self)
    }

    /// The Korean wall clock at this instant.
    pub fn from_utc(instant: DateTime<Utc>) -> Self {
        let utc = instant.naive_utc();
        // The addition only fails in the year 262142.
        Self(utc.checked_add_signed(KST_OFFSET).unwrap_or(utc))
    }

    /// The instant.
    pub fn to_utc(self) -> DateTime<Utc> {
        self.0.checked_sub_signed(KST_OFFSET).unwrap_or(self.0).and_utc()
    }

    /// The wall clock, as it was written.
    pub const fn naive(self) -> NaiveDateTime {
        self.0
    }
}

impl fmt::Display for KstTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format(FORMAT))
    }
}

impl Serialize for KstTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KstTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_korean_wall_clock_is_nine_hours_ahead() {
        let time = KstTime::parse("2026-11-23T08:00:00").expect("a time");
        assert_eq!(time.to_utc().to_rfc3339(), "2026-11-22T23:00:00+00:00");
        assert_eq!(KstTime::from_utc(time.to_utc()), time);
        assert_eq!(time.to_string(), "2026-11-23T08:00:00");
    }

    #[test]
    fn fractions_and_offsets_are_understood_and_nonsense_is_not() {
        let zoned = KstTime::parse("2026-11-22T23:00:00Z").expect("a time");
        assert_eq!(zoned.to_string(), "2026-11-23T08:00:00");
        assert!(KstTime::parse("2026-11-23T08:00:00.123").is_ok());
        assert!(KstTime::parse("yesterday").is_err());
    }
}

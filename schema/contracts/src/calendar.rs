//! The business zone: dates that the business means are dates in Asia/Seoul.
//!
//! Korea has kept UTC+9 without summer time since 1988, so a fixed offset is the zone.

use chrono::{DateTime, Days, FixedOffset, NaiveDate, NaiveDateTime, TimeZone, Utc};

/// Seconds that Korean time is ahead of UTC.
const KST_AHEAD_SECONDS: i32 = 9 * 60 * 60;

/// The business zone, UTC+09:00.
pub const fn kst() -> FixedOffset {
    match FixedOffset::east_opt(KST_AHEAD_SECONDS) {
        Some(offset) => offset,
        None => unreachable!(),
    }
}

/// The date that `at` has in Korea.
pub fn business_date(at: DateTime<Utc>) -> NaiveDate {
    at.with_timezone(&kst()).date_naive()
}

/// The instant of a Korean wall-clock time, as the gateway writes it without a zone.
pub fn from_kst(local: NaiveDateTime) -> DateTime<Utc> {
    kst()
        .from_local_datetime(&local)
        .single()
        .map_or_else(|| DateTime::from_naive_utc_and_offset(local, Utc), |t| t.with_timezone(&Utc))
}

/// `date` plus `days`; stays at the last representable date past the end of the calendar.
pub fn add_days(date: NaiveDate, days: u16) -> NaiveDate {
    date.checked_add_days(Days::new(u64::from(days))).unwrap_or(NaiveDate::MAX)
}

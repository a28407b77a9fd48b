//! When things are due: the night in which a "no" is looked up again, and the day on which a shopper
//! has to have a refund. Nights and days are Korean.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};
use contracts::calendar::{add_days, business_date, from_kst};

/// When the night's look-ups begin, in Korea: away from the banks' maintenance around midnight.
const NIGHT: NaiveTime = match NaiveTime::from_hms_opt(3, 40, 0) {
    Some(time) => time,
    None => unreachable!(),
};
/// Shortest time between an event and the night that follows it: what the gateway books late is
/// booked by then.
const NIGHT_AFTER: TimeDelta = TimeDelta::hours(1);
/// Days within which a refund is due by law, on which banks work.
const REFUND_DAYS: u32 = 3;

/// The first 03:40 in Korea that is at least an hour after `at`.
pub fn following_night(at: DateTime<Utc>) -> DateTime<Utc> {
    let earliest = at + NIGHT_AFTER;
    let day = business_date(earliest);
    let tonight = from_kst(day.and_time(NIGHT));
    if earliest <= tonight { tonight } else { from_kst(add_days(day, 1).and_time(NIGHT)) }
}

/// The last day on which a refund that was requested at `at` is in time: three weekdays later.
/// Holidays are not known here, so the day may be earlier than the law's, never later.
pub fn refund_due_on(at: DateTime<Utc>) -> NaiveDate {
    let mut day = business_date(at);
    let mut left = REFUND_DAYS;
    while 0 < left && day < NaiveDate::MAX {
        day = add_days(day, 1);
        if !matches!(day.weekday(), Weekday::Sat | Weekday::Sun) {
            left -= 1;
        }
    }
    day
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_following_night_is_at_least_an_hour_away() {
        for (at, night) in [
            // 02:40 and 02:41 in Korea.
            ("2026-11-23T17:40:00Z", "2026-11-23T18:40:00Z"),
            ("2026-11-23T17:41:00Z", "2026-11-24T18:40:00Z"),
            ("2026-11-23T18:40:00Z", "2026-11-24T18:40:00Z"),
            // Shortly before midnight in Korea, and after it.
            ("2026-11-23T14:50:00Z", "2026-11-23T18:40:00Z"),
            ("2026-11-23T15:10:00Z", "2026-11-23T18:40:00Z"),
        ] {
            let night: DateTime<Utc> = night.parse().unwrap();
            assert_eq!(following_night(at.parse().unwrap()), night, "{at}");
        }
    }

    #[test]
    fn a_refund_is_due_three_weekdays_later() {
        for (at, due) in [
            // Monday.
            ("2026-11-23T03:00:00Z", "2026-11-26"),
            // Wednesday, Thursday, Friday, and Friday in Korea though Thursday in Greenwich.
            ("2026-11-25T03:00:00Z", "2026-11-30"),
            ("2026-11-26T03:00:00Z", "2026-12-01"),
            ("2026-11-27T03:00:00Z", "2026-12-02"),
            ("2026-11-26T16:00:00Z", "2026-12-02"),
            // Saturday.
            ("2026-11-28T03:00:00Z", "2026-12-02"),
        ] {
            assert_eq!(refund_due_on(at.parse().unwrap()).to_string(), due, "{at}");
        }
    }
}

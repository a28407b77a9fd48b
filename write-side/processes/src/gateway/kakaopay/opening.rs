//! When a payment page was opened, by our own clock.
//!
//! An order expires by this time, so that KakaoPay's clock must not decide about it: a page that
//! is stated as opened 1,000 s ahead would end a fresh order, and one stated nine hours back would be
//! over before it is shown. KakaoPay's time counts only where it lies within the call.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use crate::metrics;

/// What two clocks that are kept right may differ by; more is counted and logged.
const SKEW_TOLERATED: TimeDelta = TimeDelta::seconds(5);

/// Reads the openings of pages, and alarms when KakaoPay's clock differs from ours: the first page of
/// such a time and the one that ends it are logged, because every page of a day may be affected.
#[derive(Debug, Default)]
pub(super) struct Openings {
    is_skewed: AtomicBool,
}

/// The time that a call took, by our clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallTime {
    /// Directly before it was sent, after its request was stored.
    pub(super) asked_at: DateTime<Utc>,
    /// When its answer was read.
    pub(super) answered_at: DateTime<Utc>,
}

impl Openings {
    /// When the page was opened that KakaoPay states as opened at `stated`.
    pub(super) fn opened_at(&self, stated: Option<DateTime<Utc>>, call: CallTime) -> DateTime<Utc> {
        let Some(stated) = stated else {
            return call.answered_at;
        };
        let skew = call.skew_of(stated);
        self.report(skew);
        if skew.is_zero() { stated } else { call.answered_at }
    }

    fn report(&self, skew: TimeDelta) {
        let is_skewed = SKEW_TOLERATED < skew.abs();
        if is_skewed {
            metrics::gateway_clock_skewed();
        }
        if self.is_skewed.swap(is_skewed, Ordering::Relaxed) == is_skewed {
            return;
        }
        let skew_seconds = skew.num_seconds();
        if is_skewed {
            tracing::warn!(skew_seconds, "the gateway's clock differs from ours; ours is used");
        } else {
            tracing::info!(skew_seconds, "the gateway's clock agrees with ours again");
        }
    }
}

impl CallTime {
    /// How far `stated` lies outside the call; negative before it. KakaoPay states whole seconds, so
    /// that the second in which the call began is within.
    fn skew_of(self, stated: DateTime<Utc>) -> TimeDelta {
        let earliest = self.asked_at.trunc_subsecs(0);
        if stated < earliest {
            return stated - earliest;
        }
        (stated - self.answered_at).max(TimeDelta::zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call of two seconds, from the middle of a second to the middle of another.
    fn call() -> CallTime {
        let asked_at: DateTime<Utc> = "2026-11-23T03:01:01.400Z".parse().unwrap();
        CallTime { asked_at, answered_at: asked_at + TimeDelta::seconds(2) }
    }

    fn opened_at(stated: Option<DateTime<Utc>>) -> DateTime<Utc> {
        Openings::default().opened_at(stated, call())
    }

    #[test]
    fn a_time_within_the_call_is_believed() {
        let begun = call().asked_at.trunc_subsecs(0);
        for stated in [begun, begun + TimeDelta::seconds(1), call().answered_at] {
            assert_eq!(opened_at(Some(stated)), stated);
        }
    }

    #[test]
    fn a_time_outside_the_call_is_replaced_by_that_of_the_answer() {
        let begun = call().asked_at.trunc_subsecs(0);
        for stated in [
            call().answered_at + TimeDelta::seconds(1_000),
            call().asked_at - TimeDelta::hours(9),
            call().answered_at + TimeDelta::milliseconds(1),
            begun - TimeDelta::seconds(1),
        ] {
            assert_eq!(opened_at(Some(stated)), call().answered_at, "{stated}");
        }
        assert_eq!(opened_at(None), call().answered_at, "absent");
    }

    #[test]
    fn the_skew_is_what_lies_outside_the_call() {
        let skew = |stated| call().skew_of(stated).num_milliseconds();
        assert_eq!(skew(call().answered_at + TimeDelta::seconds(1_000)), 1_000_000);
        assert_eq!(skew(call().asked_at - TimeDelta::hours(9)), -9 * 3_600_000 + 400);
        assert_eq!(skew(call().asked_at), 0);
    }

    #[test]
    fn a_skew_is_noted_until_a_page_is_within_again() {
        let openings = Openings::default();
        let note = |seconds| {
            openings.opened_at(Some(call().answered_at + TimeDelta::seconds(seconds)), call());
            openings.is_skewed.load(Ordering::Relaxed)
        };
        assert_eq!([note(5), note(6), note(1_000), note(0)], [false, true, true, false]);
    }
}

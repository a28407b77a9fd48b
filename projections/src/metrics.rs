//! The numbers of the projector, by name. The only label is the projection's name, a closed set.

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

/// Positions settled but not yet in the served rows, per projection.
pub const LAG_EVENTS: &str = "projector_lag_events";
/// From the record of an event to its rows being visible, per projection.
pub const LAG_SECONDS: &str = "projector_lag_seconds";
/// How long one batch took, reading it included, per projection.
pub const BATCH_SECONDS: &str = "projector_batch_seconds";
/// Events folded into rows, per projection.
pub const EVENTS_TOTAL: &str = "projector_events_total";
/// Events set aside, per projection. Alert: any increase.
pub const PARKED_TOTAL: &str = "projector_parked_total";
/// Events set aside and waiting for an operator now, per projection. Alert: above 0.
pub const PARKED_EVENTS: &str = "projector_parked_events";
/// Leases lost to another worker, per projection.
pub const LEASES_LOST_TOTAL: &str = "projector_leases_lost_total";
/// Batches that failed and are tried again, per projection.
pub const FAILURES_TOTAL: &str = "projector_failures_total";

/// Says what the numbers mean; called once by the process.
pub fn describe() {
    describe_gauge!(LAG_EVENTS, Unit::Count, "positions settled but not yet in the rows");
    describe_histogram!(LAG_SECONDS, Unit::Seconds, "from the record of an event to its rows");
    describe_histogram!(BATCH_SECONDS, Unit::Seconds, "time that one batch took");
    describe_counter!(EVENTS_TOTAL, Unit::Count, "events folded into rows");
    describe_counter!(PARKED_TOTAL, Unit::Count, "events set aside");
    describe_gauge!(PARKED_EVENTS, Unit::Count, "events set aside and waiting for an operator");
    describe_counter!(LEASES_LOST_TOTAL, Unit::Count, "leases lost to another worker");
    describe_counter!(FAILURES_TOTAL, Unit::Count, "batches that failed and are tried again");
}

pub(crate) fn lag_events(name: &'static str, lag: i64) {
    let lag = i32::try_from(lag).unwrap_or(i32::MAX);
    gauge!(LAG_EVENTS, "projection" => name).set(lag);
}

pub(crate) fn lag_seconds(name: &'static str, lag: std::time::Duration) {
    histogram!(LAG_SECONDS, "projection" => name).record(lag);
}

pub(crate) fn batch(name: &'static str, events: usize, took: std::time::Duration) {
    histogram!(BATCH_SECONDS, "projection" => name).record(took);
    counter!(EVENTS_TOTAL, "projection" => name).increment(events as u64);
}

pub(crate) fn parked(name: &'static str, events: usize) {
    counter!(PARKED_TOTAL, "projection" => name).increment(events as u64);
}

pub(crate) fn parked_now(name: &'static str, events: i64) {
    gauge!(PARKED_EVENTS, "projection" => name).set(i32::try_from(events).unwrap_or(i32::MAX));
}

pub(crate) fn lease_lost(name: &'static str) {
    counter!(LEASES_LOST_TOTAL, "projection" => name).increment(1);
}

pub(crate) fn failed(name: &'static str) {
    counter!(FAILURES_TOTAL, "projection" => name).increment(1);
}

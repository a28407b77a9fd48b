//! The numbers of the projector, by name. The only label is the projection's name, a closed set. What
//! is known only while batches succeed is here; lag, stuck shards and parked events are measured in
//! the database by `event_feed`.

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

/// From the record of an event to its rows being visible, per projection.
pub const LAG_SECONDS: &str = "projector_lag_seconds";
/// How long one batch took, reading it included, per projection.
pub const BATCH_SECONDS: &str = "projector_batch_seconds";
/// Events folded into rows, per projection.
pub const EVENTS_TOTAL: &str = "projector_events_total";
/// Events set aside, per projection. Alert: any increase.
pub const PARKED_TOTAL: &str = "projector_parked_total";
/// Leases lost to another worker, per projection.
pub const LEASES_LOST_TOTAL: &str = "projector_leases_lost_total";
/// Batches that failed and are tried again, per projection.
pub const FAILURES_TOTAL: &str = "projector_failures_total";

/// Says what the numbers mean; called once by the process.
pub fn describe() {
    event_feed::metrics::describe_read_models();
    describe_histogram!(LAG_SECONDS, Unit::Seconds, "from the record of an event to its rows");
    describe_histogram!(BATCH_SECONDS, Unit::Seconds, "time that one batch took");
    describe_counter!(EVENTS_TOTAL, Unit::Count, "events folded into rows");
    describe_counter!(PARKED_TOTAL, Unit::Count, "events set aside");
    describe_counter!(LEASES_LOST_TOTAL, Unit::Count, "leases lost to another worker");
    describe_counter!(FAILURES_TOTAL, Unit::Count, "batches that failed and are tried again");
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

pub(crate) fn lease_lost(name: &'static str) {
    counter!(LEASES_LOST_TOTAL, "projection" => name).increment(1);
}

pub(crate) fn failed(name: &'static str) {
    counter!(FAILURES_TOTAL, "projection" => name).increment(1);
}

//! The measurements of this crate; `describe` is called once, in `main`.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Positions handed out and not settled yet, as the watcher last saw it. Stays high when an append
/// hangs in its transaction: every reader waits for it.
pub const UNSETTLED_POSITIONS: &str = "event_feed_unsettled_positions";
/// Seconds since the oldest event that is recorded and not settled was recorded. Published by every process
/// that measures the read models, so that it rises when every watcher has stopped. Alert: above 30.
pub const UNSETTLED_SECONDS: &str = "event_feed_unsettled_seconds";
/// Watcher rounds that failed.
pub const WATCH_FAILURES: &str = "event_feed_watch_failures_total";
/// Seconds one watcher round takes.
pub const WATCH_SECONDS: &str = "event_feed_watch_seconds";
/// Rounds in which a follower found the watcher silent and computed the safe position itself.
pub const TAKEOVERS: &str = "event_feed_takeovers_total";

/// Settled positions that are not in the served rows, by read model. Published by the projector and by
/// the worker.
pub const READ_MODEL_LAG_EVENTS: &str = "read_model_lag_events";
/// Seconds since the oldest event that is not in the served rows was recorded, by read model. Alert:
/// above 10.
pub const READ_MODEL_LAG_SECONDS: &str = "read_model_lag_seconds";
/// Served shards that have events to fold and don't move, by read model. Alert: above 0.
pub const READ_MODEL_STUCK_SHARDS: &str = "read_model_stuck_shards";
/// Events that are parked and wait for an operator, by read model. Alert: above 0.
pub const READ_MODEL_PARKED_EVENTS: &str = "read_model_parked_events";

/// Registers the descriptions of the read models' gauges.
pub fn describe_read_models() {
    describe_gauge!(
        UNSETTLED_SECONDS,
        Unit::Seconds,
        "since the oldest event that is recorded and not settled was recorded"
    );
    describe_gauge!(
        READ_MODEL_LAG_EVENTS,
        Unit::Count,
        "settled positions that are not in the served rows"
    );
    describe_gauge!(
        READ_MODEL_LAG_SECONDS,
        Unit::Seconds,
        "since the oldest event that is not in the served rows was recorded"
    );
    describe_gauge!(
        READ_MODEL_STUCK_SHARDS,
        Unit::Count,
        "served shards that have events to fold and don't move"
    );
    describe_gauge!(
        READ_MODEL_PARKED_EVENTS,
        Unit::Count,
        "events that are parked and wait for an operator"
    );
}

/// Tells the recorder what the names above mean.
pub fn describe() {
    describe_gauge!(UNSETTLED_POSITIONS, Unit::Count, "positions handed out and not settled yet");
    describe_counter!(WATCH_FAILURES, Unit::Count, "watcher rounds that failed");
    describe_histogram!(WATCH_SECONDS, Unit::Seconds, "duration of a watcher round");
    describe_counter!(TAKEOVERS, Unit::Count, "rounds a follower had to compute itself");
}

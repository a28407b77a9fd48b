//! The measurements of this crate; `describe` is called once, in `main`.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Positions handed out and not settled yet, as the watcher last saw it. Stays high when an append
/// hangs in its transaction: every reader waits for it.
pub const UNSETTLED_POSITIONS: &str = "event_feed_unsettled_positions";
/// Watcher rounds that failed.
pub const WATCH_FAILURES: &str = "event_feed_watch_failures_total";
/// Seconds one watcher round takes.
pub const WATCH_SECONDS: &str = "event_feed_watch_seconds";
/// Rounds in which a follower found the watcher silent and computed the safe position itself.
pub const TAKEOVERS: &str = "event_feed_takeovers_total";

/// Tells the recorder what the names above mean.
pub fn describe() {
    describe_gauge!(UNSETTLED_POSITIONS, Unit::Count, "positions handed out and not settled yet");
    describe_counter!(WATCH_FAILURES, Unit::Count, "watcher rounds that failed");
    describe_histogram!(WATCH_SECONDS, Unit::Seconds, "duration of a watcher round");
    describe_counter!(TAKEOVERS, Unit::Count, "rounds a follower had to compute itself");
}

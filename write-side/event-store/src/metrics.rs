//! The measurements of this crate; `describe` is called once, in `main`.

use metrics::{Unit, describe_counter, describe_histogram};

/// Appends that found their stream at another version, by aggregate type.
pub const CONFLICTS: &str = "event_store_conflicts_total";
/// Commands decided again after a conflict, by aggregate type.
pub const RETRIES: &str = "event_store_retries_total";
/// Commands answered from the receipt of an earlier, identical one, by aggregate type.
pub const REPLAYS: &str = "event_store_replays_total";
/// Remembered states that the log did not hold, by aggregate type: the log was set back, by a
/// failover to a copy that lacked events or by a restore.
pub const MEMORIES_REFUTED: &str = "event_store_memories_refuted_total";
/// Commits whose answer was lost and had to be asked for again, by what came out.
pub const LOST_ANSWERS: &str = "event_store_lost_answers_total";
/// Seconds from a command's acceptance to its answer, by aggregate type.
pub const DISPATCH_SECONDS: &str = "event_store_dispatch_seconds";
/// Commands that went to the database in one call.
pub const PACKED_COMMANDS: &str = "event_store_packed_commands";
/// Packs that failed as a whole, so that each of their commands went by itself.
pub const PACKS_FAILED: &str = "event_store_packs_failed_total";

/// Tells the recorder what the names above mean.
pub fn describe() {
    describe_counter!(CONFLICTS, Unit::Count, "appends that found their stream at another version");
    describe_counter!(RETRIES, Unit::Count, "commands decided again after a conflict");
    describe_counter!(REPLAYS, Unit::Count, "commands answered from an earlier one's receipt");
    describe_counter!(MEMORIES_REFUTED, Unit::Count, "remembered states that the log did not hold");
    describe_counter!(LOST_ANSWERS, Unit::Count, "commits whose answer was lost, by what came out");
    describe_histogram!(
        DISPATCH_SECONDS,
        Unit::Seconds,
        "from acceptance of a command to its answer"
    );
    describe_counter!(PACKS_FAILED, Unit::Count, "packs whose commands then went one by one");
    describe_histogram!(PACKED_COMMANDS, Unit::Count, "commands that shared one call");
}

//! The numbers `storefront-api` counts beside those of every HTTP process.

use metrics::{Unit, counter, describe_counter};

/// Answers that were older than the position their client had asked for.
const LAGGING_TOTAL: &str = "storefront_lagging_answers_total";
/// Catalogue bodies built from the database; the rest of the answers came out of the cache.
const BUILT_TOTAL: &str = "storefront_bodies_built_total";

/// Answers with a body that was kept beyond its moment, because the database is out of reach.
const STALE_TOTAL: &str = "storefront_stale_answers_total";

/// Describes the metrics; called once a process.
pub(crate) fn describe() {
    describe_counter!(
        LAGGING_TOTAL,
        Unit::Count,
        "answers older than the position their client had asked for"
    );
    describe_counter!(BUILT_TOTAL, Unit::Count, "catalogue bodies built from the database");
    describe_counter!(
        STALE_TOTAL,
        Unit::Count,
        "answers with a kept body because the database is out of reach"
    );
}

/// Counts an answer that was older than asked for.
pub(crate) fn lagging() {
    counter!(LAGGING_TOTAL).increment(1);
}

/// Counts a catalogue body built from the database; `kind` is one of the window's own names.
pub(crate) fn built(kind: &'static str) {
    counter!(BUILT_TOTAL, "kind" => kind).increment(1);
}

/// Counts an answer with a body that is older than it should be.
pub(crate) fn stale() {
    counter!(STALE_TOTAL).increment(1);
}

//! Why the projector could not do what it was asked. The live rows are as they were before.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::parked::NewlyParkedEvents;
use crate::projection::Refusal;

/// Why the projector could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// There is no read model of this name.
    #[error("there is no projection {name}; there are {known}")]
    UnknownProjection {
        /// The name that was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The projection has no version in the state that this needs.
    #[error("{name} has no {needed} version")]
    NoVersion {
        /// The projection.
        name: String,
        /// What was looked for, for example `live`.
        needed: &'static str,
    },
    /// No complete version but the live one was ever served, as far as is recorded.
    #[error(
        "{name} has no complete version that was served before; `switch {name} VERSION` serves one by its number"
    )]
    NoneServedBefore {
        /// The projection.
        name: String,
    },
    /// Somebody else rebuilds, switches or retires this projection now.
    #[error("somebody else is changing the versions of {name}")]
    Busy {
        /// The projection.
        name: String,
    },
    /// The checkpoint was moved, or the lease taken, by somebody else: this worker's epoch is over.
    #[error("the lease on {name} version {version} belongs to somebody else")]
    LeaseLost {
        /// The projection.
        name: &'static str,
        /// Its version.
        version: i32,
    },
    /// The version to be served is behind the one that is, and did not catch up in time.
    #[error("version {version} of {name} is behind the served one after {waited:?}")]
    Behind {
        /// The projection.
        name: String,
        /// The version to be served.
        version: i32,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A rebuilt version does not hold what was put into it.
    #[error("the rebuilt {table} does not hold what was put in: {found}")]
    Unfaithful {
        /// The table.
        table: String,
        /// What was found.
        found: String,
    },
    /// A rebuilt version sets events aside which the served one does not; readers would lose them.
    #[error(
        "version {version} of {name} parks {} events and the served one {}; the served one does not park \
         {} of those {}, the first at position {}. It is not served: `parked list {name}` gives the \
         reasons, `rebuild {name} --allow-parked` serves it nevertheless",
        .found.parked, .found.served, .found.newly, .found.parked, .found.first
    )]
    NewlyParked {
        /// The projection.
        name: String,
        /// The version that was built.
        version: i32,
        /// How many events.
        found: NewlyParkedEvents,
    },
    /// Events are parked, so a replay can't be compared and a version not be finished.
    #[error("{count} events can't be folded; first: {first}")]
    Unfoldable {
        /// How many.
        count: usize,
        /// The first, with its reason.
        first: String,
    },
    /// The log holds an event of a type or version that this build doesn't know: a newer build wrote
    /// it. Nothing is parked; the model goes on once a build that knows it is deployed.
    #[error("this build can't read the event at position {position}; deploy the one that can")]
    UnknownEvent {
        /// Its place in the log.
        position: i64,
        /// Type and version.
        #[source]
        source: Refusal,
    },
    /// So many aggregates have parked events that something else than the data must be wrong.
    #[error("{name} has parked events of more than {streams_max} aggregates; retry or drop them")]
    TooManyParked {
        /// The projection.
        name: String,
        /// How many aggregates may have parked events.
        streams_max: usize,
        /// Place in the log of the first event that can't be parked any more; none when more are parked
        /// already.
        first: Option<i64>,
    },
    /// There is no such event to give up.
    #[error(
        "{name} has no parked event at position {position}; `parked list {name}` shows those it has"
    )]
    NotParked {
        /// The projection.
        name: String,
        /// The position that was asked for.
        position: i64,
    },
    /// What is to be dropped is newer than what is served: likely the result of a rebuild.
    #[error(
        "version {version} of {name} is newer than the served one: switch to it, or drop it with --force"
    )]
    Newer {
        /// The projection.
        name: String,
        /// The version that would be dropped.
        version: i32,
    },
    /// A stored row is none that this projection writes.
    #[error("read the stored rows of {name}")]
    Stored {
        /// The projection.
        name: &'static str,
        /// What is wrong.
        #[source]
        source: Refusal,
    },
    /// The work was ended by a shutdown before it was done.
    #[error("stopped before it was done")]
    Stopped,
    /// The log could not be read.
    #[error("read the log")]
    Feed(#[from] event_feed::FeedError),
    /// No connection to the database.
    #[error("reach the database")]
    Unavailable(#[from] deadpool_postgres::PoolError),
    /// The database refused a statement.
    #[error("use the database")]
    Database(#[from] tokio_postgres::Error),
    /// The settings cannot be used.
    #[error("read the settings")]
    Config(#[from] service_kit::config::ConfigError),
    /// No pool can be made of the settings.
    #[error("make the database pool")]
    Pool(#[from] service_kit::pools::PoolError),
}

impl ProjectionError {
    /// Whether the database refused the data itself, so that the same batch will fail again.
    pub(crate) fn is_about_data(&self) -> bool {
        let Self::Database(error) = self else {
            return false;
        };
        // Classes 22 (data exception), 23 (integrity violation) and 54 (program limit exceeded).
        error.code().map(SqlState::code).is_some_and(|code| {
            code.starts_with("22") || code.starts_with("23") || code.starts_with("54")
        })
    }

    /// Whether a lock was not free within its time limit.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        matches!(self, Self::Database(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE))
    }
}

//! Why the feed gave no answer. Nothing is lost by it: the reader asks again from its checkpoint.

use contracts::Position;

/// Why the feed gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// No connection within the pool's time limit.
    #[error("reach the event log")]
    Unavailable(#[from] deadpool_postgres::PoolError),
    /// The events after a checkpoint could not be read.
    #[error("read events after {after}")]
    Read {
        /// The checkpoint.
        after: Position,
        /// What the database said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A stored stream id is no UUID: recorded before the log refused such ids (V022).
    #[error("read the stream id of the event at {position}")]
    StreamId {
        /// Where it lies.
        position: Position,
        /// What is wrong with it.
        #[source]
        source: uuid::Error,
    },
    /// The safe position could not be computed or stored.
    #[error("find the safe position")]
    Watch(#[source] tokio_postgres::Error),
    /// The lag of the read models could not be computed.
    #[error("measure the lag of the read models")]
    Lag(#[source] tokio_postgres::Error),
    /// The one row of `feed_position` is missing: the schema is not ours.
    #[error("find the row of the safe position")]
    NoSafeRow,
    /// The database did not answer in time.
    #[error("get an answer from the event log in time")]
    Timeout,
}

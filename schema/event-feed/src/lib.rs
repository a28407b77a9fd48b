//! The one correct way to read the log in order.
//!
//! Positions are handed out when an event is inserted and become visible when it commits, so the
//! newest visible position says nothing about what is still to come below it. The [`Watcher`] finds
//! out up to where everything is settled, and [`FeedReader`] reads up to there and no further:
//! nothing is skipped, and what was read once is never read differently.
//!
//! One process watches; others learn the safe position from a row of the database
//! ([`SafePosition::follow`]). Wake-ups are hints, polling is the truth. It does not know what
//! readers do with events, nor where they keep their checkpoints: they store
//! [`Batch::through`] in the transaction of the rows it accounts for.

mod bound;
mod error;
mod lag;
pub mod metrics;
mod reader;
mod safe;
mod watcher;

pub use bound::{Settled, settled};
pub use error::FeedError;
pub use lag::{
    FROZEN_AFTER, ReadModelLag, STUCK_AFTER, is_feed_moving, read_model_lags,
    report_read_model_lags, unsettled_age,
};
pub use reader::{Batch, FILTERED_SPAN_MAX, FeedReader, Filter};
pub use safe::SafePosition;
pub use watcher::{FollowOptions, OnAdvance, Watcher, WatcherHandle, WatcherOptions};

//! Reads a projection's events from the log's beginning, decoding on several cores.
//!
//! Reading, decoding and folding overlap: while one chunk is folded in order, the next are decoded
//! and the one after is on its way. A bounded number of chunks is in memory.

use std::collections::HashSet;

use contracts::{Position, RecordedEvent};
use deadpool_postgres::Pool;
use event_feed::{FeedReader, Filter};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::ProjectionError;
use crate::working::{Incoming, Model};

/// Events of one read: about 5 MiB, and a few milliseconds of an index range.
const READ_EVENTS_MAX: u32 = 5_000;
/// Chunks that may wait to be folded.
const CHUNKS_WAITING_MAX: usize = 3;

/// Events in order, and up to where they reach.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) events: Vec<Incoming>,
    pub(crate) through: Position,
}

/// A chunk whose parts are still being decoded.
struct Decoding {
    parts: Vec<JoinHandle<Vec<Incoming>>>,
    through: Position,
}

/// A replay under way; dropping it ends it.
pub(crate) struct Replay {
    chunks: mpsc::Receiver<Result<Decoding, ProjectionError>>,
    without: HashSet<i64>,
}

impl Replay {
    /// Reads what `model` reads, after `after` and up to `to`, decoding on `jobs` cores. The events at
    /// the positions `without` are left out, readable or not.
    pub(crate) fn start(
        pool: Pool,
        model: &'static dyn Model,
        (after, to): (Position, Position),
        jobs: usize,
        without: HashSet<i64>,
    ) -> Self {
        let (sender, chunks) = mpsc::channel(CHUNKS_WAITING_MAX);
        tokio::spawn(async move {
            let reader = FeedReader::new(pool);
            let filter = Filter::events(model.event_types());
            let mut after = after;
            while after < to {
                let read = read(&reader, &filter, (after, to), jobs).await;
                let through = read.as_ref().map_or(to, |decoding| decoding.through);
                // Nobody listens any more: the replay was dropped.
                if sender.send(read).await.is_err() {
                    return;
                }
                after = through;
            }
        });
        Self { chunks, without }
    }

    /// The next chunk, or `None` at the end.
    ///
    /// # Errors
    /// The log can't be read, or holds an event that this build doesn't know.
    pub(crate) async fn next(&mut self) -> Result<Option<Chunk>, ProjectionError> {
        let Some(decoding) = self.chunks.recv().await else {
            return Ok(None);
        };
        let Decoding { parts, through } = decoding?;
        let mut events = Vec::new();
        for part in parts {
            // A part that broke off is a replay that broke off: nothing may be missing.
            events.extend(part.await.map_err(|_broken_off| ProjectionError::Stopped)?);
        }
        events.retain(|event: &Incoming| !self.without.contains(&event.position));
        if let Some(unknown) = events.iter().find_map(Incoming::unknown) {
            return Err(unknown);
        }
        Ok(Some(Chunk { events, through }))
    }
}

async fn read(
    reader: &FeedReader,
    filter: &Filter,
    (after, to): (Position, Position),
    jobs: usize,
) -> Result<Decoding, ProjectionError> {
    let batch = reader.read(after, filter, READ_EVENTS_MAX).await?;
    let mut events = batch.events;
    // `to` is settled, so a read that gets nowhere can only mean that nothing is left.
    let through = if batch.through <= after { to } else { batch.through.min(to) };
    events.retain(|event| event.position <= to);
    let part_size = events.len().div_ceil(jobs.max(1)).max(1);
    let mut parts = Vec::new();
    while !events.is_empty() {
        let rest = events.split_off(part_size.min(events.len()));
        let part = std::mem::replace(&mut events, rest);
        parts.push(tokio::task::spawn_blocking(move || decode(part)));
    }
    Ok(Decoding { parts, through })
}

fn decode(events: Vec<RecordedEvent>) -> Vec<Incoming> {
    events.into_iter().map(Incoming::of).collect()
}

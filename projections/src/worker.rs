//! Follows one version of one projection: takes its lease, reads batches up to where the log is
//! settled, applies them, and waits for more.
//!
//! A batch that fails is tried again with growing pauses; one that the database refuses for its data
//! is cut down until the event at fault stands alone, which is then parked. At an event of a type or
//! version that this build doesn't know, or of one aggregate too many to be parked, it stops, after what
//! comes before. Nothing is skipped.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use contracts::Position;
use deadpool_postgres::Pool;
use event_feed::{Batch, FeedReader, Filter, SafePosition};
use service_kit::causes::with_causes;
use service_kit::clock::SharedClock;
use service_kit::shutdown::Shutdown;

use crate::batch::{self, Target};
use crate::error::ProjectionError;
use crate::hints::Hints;
use crate::lease::{LEASE_FOR, Lease, RENEW_EVERY};
use crate::metrics;
use crate::working::{Incoming, Model};

/// How long batches should take while the rows are fresh: no longer than a reader may lag behind.
const FRESH: Pace = Pace { min: Duration::from_millis(50), max: Duration::from_millis(100) };
/// How long they should take while the rows are old anyway: a transaction's own price is then paid
/// less often, and whoever waits for the shard (a switch, a retry) still waits for less than a second.
const CATCHING_UP: Pace = Pace { min: Duration::from_millis(250), max: Duration::from_millis(500) };
/// Positions from which on the rows count as old: seconds of a busy shop.
const OLD_POSITIONS_MIN: i64 = 5_000;
/// A batch is not cut below this for being slow: what remains is the price of the transaction itself
/// (round trips, the commit's flush), and paying it per event would only make the reader slower.
const BATCH_EVENTS_MIN: u32 = 64;
/// Pause after the first failure; doubled with each further one.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(200);
/// Longest pause after a failure.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often a worker asks for a shard that another one holds.
const LEASE_PAUSE: Duration = Duration::from_millis(500);

const _: () = assert!(CATCHING_UP.max.as_millis() * 2 < LEASE_FOR.as_millis());
const _: () = assert!(RENEW_EVERY.as_millis() * 2 < LEASE_FOR.as_millis());

/// What all workers of a process share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) pool: Pool,
    pub(crate) safe: SafePosition,
    pub(crate) clock: SharedClock,
    pub(crate) hints: Hints,
    pub(crate) batch_events_max: u32,
    /// Who holds the leases, for people.
    pub(crate) owner: String,
}

/// One version of one projection, followed by this process.
pub(crate) struct Worker {
    shared: Shared,
    target: Target,
    version: i32,
    is_served: bool,
    filter: Filter,
}

/// How far a worker goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Until the shutdown.
    Told,
    /// Until the checkpoint has reached this position, and nothing settled is left.
    Reached(Position),
}

impl Worker {
    /// A worker for `version` of `model`; `is_served` when hints about it are to be given.
    pub(crate) fn new(
        shared: Shared,
        model: &'static dyn Model,
        version: i32,
        is_served: bool,
    ) -> Self {
        let target = Target::new(model, version);
        let filter = Filter::events(model.event_types());
        Self { shared, target, version, is_served, filter }
    }

    fn name(&self) -> &'static str {
        self.target.model.name()
    }

    /// Follows the log until `shutdown`. Ends a batch it has begun.
    pub(crate) async fn follow(self, shutdown: Shutdown) {
        let mut pause = RETRY_PAUSE_MIN;
        while !shutdown.is_requested() {
            let rest = match self.turn(Until::Told, &shutdown).await {
                Ok(true) => {
                    pause = RETRY_PAUSE_MIN;
                    continue;
                }
                Ok(false) => LEASE_PAUSE,
                Err(error) => {
                    self.say(&error);
                    let rest = pause;
                    pause = (pause * 2).min(RETRY_PAUSE_MAX);
                    rest
                }
            };
            tokio::select! {
                () = shutdown.requested() => {}
                () = self.shared.clock.sleep(rest) => {}
            }
        }
        let (projection, version) = (self.name(), self.version);
        tracing::info!(projection, version, "stopped following at shutdown");
    }

    /// Takes the shard, works, and gives it back; false when somebody else has it.
    pub(crate) async fn turn(
        &self,
        until: Until,
        shutdown: &Shutdown,
    ) -> Result<bool, ProjectionError> {
        let Shared { pool, owner, .. } = &self.shared;
        let Some(mut lease) = Lease::take(pool, self.name(), self.version, owner).await? else {
            return Ok(false);
        };
        let worked = self.work(&mut lease, until, shutdown).await;
        if let Err(error) = &worked {
            let text = with_causes(error);
            // The error itself is what counts; that it can't be noted either adds nothing.
            drop(lease.note_error(pool, &text).await);
        }
        // Given back after a failure too, or we would wait for ourselves.
        let released = lease.release(pool).await;
        worked.and(released).map(|()| true)
    }

    async fn work(
        &self,
        lease: &mut Lease,
        until: Until,
        shutdown: &Shutdown,
    ) -> Result<(), ProjectionError> {
        let reader = FeedReader::new(self.shared.pool.clone());
        let mut size = BatchSize::new(self.shared.batch_events_max);
        let mut safe = self.shared.safe.subscribe();
        while !shutdown.is_requested() {
            // Marked as seen before reading: what moves in between wakes us.
            safe.mark_unchanged();
            let begun = Instant::now();
            let batch = reader.read(lease.position, &self.filter, size.events).await?;
            let is_caught_up = batch.is_caught_up();
            self.take_in(lease, batch, &mut size, begun).await?;
            if !is_caught_up {
                continue;
            }
            if matches!(until, Until::Reached(goal) if goal <= lease.position) {
                return Ok(());
            }
            tokio::select! {
                () = shutdown.requested() => {}
                _ = safe.changed() => {}
                () = self.shared.clock.sleep(RENEW_EVERY) => lease.renew(&self.shared.pool).await?,
            }
        }
        Ok(())
    }

    /// Applies a batch, or less of it, and moves the lease's position to where it got.
    async fn take_in(
        &self,
        lease: &mut Lease,
        batch: Batch,
        size: &mut BatchSize,
        begun: Instant,
    ) -> Result<(), ProjectionError> {
        let Batch { events, safe, mut through } = batch;
        let newest = events.last().map(|event| event.recorded_at);
        let is_full = size.events as usize <= events.len();
        let mut events: Vec<Incoming> = events.into_iter().map(Incoming::of).collect();
        let unknown = cut_at_unknown(&mut events);
        if let Some((position, _)) = &unknown {
            through = Position::new(position - 1);
        }
        let mut stopped = unknown.map_or(Ok(()), |(_, error)| Err(error));
        if through <= lease.position {
            return stopped;
        }
        let pool = &self.shared.pool;
        let mut applied = batch::apply(pool, &self.target, lease, &events, through).await;
        if let Err(ProjectionError::TooManyParked { first: Some(first), .. }) = &applied
            && lease.position.number() < first - 1
        {
            // What comes before is parked, so that an operator sees what it is that can't be folded.
            events.retain(|event| event.position < *first);
            through = Position::new(first - 1);
            stopped = applied.map(drop);
            applied = batch::apply(pool, &self.target, lease, &events, through).await;
        }
        let applied = match applied {
            Ok(applied) => applied,
            Err(error) if error.is_about_data() => {
                return self.narrow_down(lease, &events, through, size, error).await;
            }
            Err(error) => return Err(error),
        };
        lease.position = through;
        let is_old = OLD_POSITIONS_MIN <= safe.number() - through.number();
        size.adapt(begun.elapsed(), is_full, if is_old { CATCHING_UP } else { FRESH });
        if 0 < applied.parked {
            metrics::parked(self.name(), applied.parked);
            tracing::error!(
                projection = self.name(),
                version = self.version,
                events = applied.parked,
                "events were parked: see `projector parked list`"
            );
        }
        if self.is_served {
            self.shared.hints.moved(self.name(), through, &applied.touched);
            metrics::batch(self.name(), events.len(), begun.elapsed());
            if let Some(newest) = newest {
                let lag: TimeDelta = self.shared.clock.now() - newest;
                metrics::lag_seconds(self.name(), lag.to_std().unwrap_or_default());
            }
        }
        stopped
    }

    /// The database refuses something in `events`: tries them one by one, and parks the one at fault
    /// once it stands alone.
    async fn narrow_down(
        &self,
        lease: &mut Lease,
        events: &[Incoming],
        through: Position,
        size: &mut BatchSize,
        error: ProjectionError,
    ) -> Result<(), ProjectionError> {
        let [event] = events else {
            size.events = 1;
            return Ok(());
        };
        let reason = with_causes(&error);
        batch::park_alone(&self.shared.pool, lease, event, through, &reason).await?;
        lease.position = through;
        metrics::parked(self.name(), 1);
        tracing::error!(
            projection = self.name(),
            version = self.version,
            position = event.position,
            %reason,
            "the database refuses what an event makes of its rows: parked"
        );
        Ok(())
    }

    fn say(&self, error: &ProjectionError) {
        let (projection, version) = (self.name(), self.version);
        if let ProjectionError::LeaseLost { .. } = error {
            metrics::lease_lost(projection);
            tracing::warn!(projection, version, "another worker has taken over");
            return;
        }
        metrics::failed(projection);
        tracing::error!(
            projection,
            version,
            error = error as &dyn std::error::Error,
            "a batch failed and is tried again"
        );
    }
}

/// Removes the first event that this build doesn't know and all later ones; where it stands, and the
/// error to stop with.
fn cut_at_unknown(events: &mut Vec<Incoming>) -> Option<(i64, ProjectionError)> {
    let found =
        |(index, event): (usize, &Incoming)| Some((index, event.position, event.unknown()?));
    let (index, position, error) = events.iter().enumerate().find_map(found)?;
    events.truncate(index);
    Some((position, error))
}

/// How long a batch should take: above `max` it shrinks, a full one below `min` grows.
#[derive(Debug, Clone, Copy)]
struct Pace {
    min: Duration,
    max: Duration,
}

/// How many events are folded at once: as many as the [`Pace`] allows.
#[derive(Debug)]
struct BatchSize {
    events: u32,
    events_max: u32,
}

impl BatchSize {
    const fn new(events_max: u32) -> Self {
        Self { events: events_max, events_max }
    }

    fn adapt(&mut self, took: Duration, is_full: bool, pace: Pace) {
        let is_small = self.events < BATCH_EVENTS_MIN;
        if pace.max < took && !is_small {
            self.events = (self.events / 2).max(BATCH_EVENTS_MIN).min(self.events_max);
        } else if is_full && (took < pace.min || is_small) {
            self.events = (self.events * 2).min(self.events_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_batch_shrinks_and_a_quick_full_one_grows() {
        let mut size = BatchSize::new(500);
        size.adapt(Duration::from_millis(200), true, FRESH);
        assert_eq!(size.events, 250);
        size.adapt(Duration::from_millis(70), true, FRESH);
        assert_eq!(size.events, 250);
        size.adapt(Duration::from_millis(10), false, FRESH);
        assert_eq!(size.events, 250);
        size.adapt(Duration::from_millis(10), true, FRESH);
        assert_eq!(size.events, 500);
        size.adapt(Duration::from_millis(10), true, FRESH);
        assert_eq!(size.events, 500);
    }

    #[test]
    fn a_version_far_behind_takes_bigger_batches_until_it_has_caught_up() {
        let mut size = BatchSize { events: 125, events_max: 500 };
        size.adapt(Duration::from_millis(120), true, CATCHING_UP);
        size.adapt(Duration::from_millis(240), true, CATCHING_UP);
        assert_eq!(size.events, 500);
        size.adapt(Duration::from_millis(480), true, CATCHING_UP);
        assert_eq!(size.events, 500);
        size.adapt(Duration::from_millis(480), true, FRESH);
        assert_eq!(size.events, 250);
    }

    #[test]
    fn a_slow_disk_does_not_shrink_batches_to_nothing() {
        let mut size = BatchSize::new(500);
        for _ in 0..20 {
            size.adapt(Duration::from_secs(1), true, FRESH);
        }
        assert_eq!(size.events, BATCH_EVENTS_MIN);
    }

    #[test]
    fn a_batch_cut_to_find_a_poison_event_grows_again_on_a_slow_disk() {
        let mut size = BatchSize { events: 1, events_max: 500 };
        for _ in 0..20 {
            size.adapt(Duration::from_secs(1), true, FRESH);
        }
        assert_eq!(size.events, BATCH_EVENTS_MIN);
    }
}

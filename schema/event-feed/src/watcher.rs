//! Keeps the safe position current: computes it, stores it, wakes readers.
//!
//! What is published was committed first. A position handed out by an append that never committed
//! can be handed out again after the database crashed; once the row is on disk, so is the counter.
//!
//! A round that fails costs a pause and a metric, never the process. The largest position ever
//! computed is kept: what lies below it stays settled.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::Position;
use deadpool_postgres::Pool;
use service_kit::clock::SharedClock;
use service_kit::fault::Fault;
use service_kit::shutdown::Shutdown;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::bound::{OLDEST_BOUND, settled_below};
use crate::error::FeedError;
use crate::metrics::{TAKEOVERS, UNSETTLED_POSITIONS, WATCH_FAILURES, WATCH_SECONDS};
use crate::safe::SafePosition;

/// A round is three tiny statements; one that takes longer than this is started over.
const ROUND_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long after a move the log counts as moving: what comes in a burst, or step after step of one
/// order, is then seen at the pace of `poll_min`, while a log at rest costs next to nothing.
const LINGER: Duration = Duration::from_millis(250);

/// Called with each new safe position, for hints to other processes. Must not block.
pub type OnAdvance = Arc<dyn Fn(Position) + Send + Sync>;

/// How a watcher looks.
#[derive(Clone)]
pub struct WatcherOptions {
    /// Pause between two looks while the log moves.
    pub poll_min: Duration,
    /// Pause between two looks while it rests.
    pub poll_max: Duration,
    /// A hook for hints to other processes.
    pub on_advance: Option<OnAdvance>,
}

impl Default for WatcherOptions {
    fn default() -> Self {
        Self {
            poll_min: Duration::from_millis(3),
            poll_max: Duration::from_millis(100),
            on_advance: None,
        }
    }
}

impl fmt::Debug for WatcherOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatcherOptions")
            .field("poll_min", &self.poll_min)
            .field("poll_max", &self.poll_max)
            .finish_non_exhaustive()
    }
}

/// How a process that doesn't watch keeps up.
#[derive(Debug, Clone, Copy)]
pub struct FollowOptions {
    /// Pause between two looks while the log moves.
    pub poll_min: Duration,
    /// Pause between two looks while it rests.
    pub poll_max: Duration,
    /// When the stored position stands still for this long although there is more, the watcher may
    /// be gone, and the follower computes the position itself.
    pub takeover_after: Duration,
}

impl Default for FollowOptions {
    fn default() -> Self {
        Self {
            poll_min: Duration::from_millis(10),
            poll_max: Duration::from_millis(100),
            takeover_after: Duration::from_millis(250),
        }
    }
}

/// The loop that keeps the safe position current.
#[derive(Debug)]
pub struct Watcher;

/// A running watcher or follower.
#[derive(Debug)]
pub struct WatcherHandle {
    safe: SafePosition,
    task: JoinHandle<()>,
}

impl WatcherHandle {
    /// The position it keeps current.
    pub fn safe(&self) -> SafePosition {
        self.safe.clone()
    }

    /// Waits until the loop has ended, which it does at shutdown.
    pub async fn stopped(self) {
        if let Err(error) = self.task.await {
            tracing::error!(error = %error, "the watcher of the log broke off");
        }
    }
}

impl Watcher {
    /// Starts watching; ends at `shutdown`. One a process is enough, several are correct.
    pub fn start(
        pool: Pool,
        clock: SharedClock,
        options: WatcherOptions,
        shutdown: Shutdown,
    ) -> WatcherHandle {
        let nudge = Arc::new(Notify::new());
        let (found, safe) = channel(&nudge);
        let (poll_min, poll_max) = (options.poll_min, options.poll_max);
        let round = move || {
            let (pool, options) = (pool.clone(), options.clone());
            async move { watch_round(&pool, &options).await }
        };
        let rhythm = Rhythm { clock, poll_min, poll_max, nudge, shutdown };
        let task = tokio::spawn(rhythm.run(found, round));
        WatcherHandle { safe, task }
    }
}

impl SafePosition {
    /// Keeps up with the watcher of another process by reading its row; ends at `shutdown`. When
    /// that watcher falls silent, computes the position itself: no process depends on another.
    pub fn follow(
        pool: Pool,
        clock: SharedClock,
        options: FollowOptions,
        shutdown: Shutdown,
    ) -> WatcherHandle {
        let nudge = Arc::new(Notify::new());
        let (found, safe) = channel(&nudge);
        let (poll_min, poll_max) = (options.poll_min, options.poll_max);
        let patience = Arc::new(std::sync::Mutex::new(Patience::new()));
        let round = move || {
            let (pool, patience) = (pool.clone(), Arc::clone(&patience));
            async move { follow_round(&pool, &patience, options.takeover_after).await }
        };
        let rhythm = Rhythm { clock, poll_min, poll_max, nudge, shutdown };
        let task = tokio::spawn(rhythm.run(found, round));
        WatcherHandle { safe, task }
    }
}

/// Where a loop puts what it finds.
struct Found {
    safe: watch::Sender<Position>,
    newest: watch::Sender<Position>,
}

impl Found {
    /// Shows what a look found; whether the settled position moved.
    fn show(&self, round: &Round) -> bool {
        raise(&self.newest, round.newest);
        raise(&self.safe, round.safe)
    }
}

/// Moves what `sender` shows forward, never back; whether it moved.
fn raise(sender: &watch::Sender<Position>, to: Position) -> bool {
    sender.send_if_modified(|shown| {
        let moves = *shown < to;
        *shown = to.max(*shown);
        moves
    })
}

fn channel(nudge: &Arc<Notify>) -> (Found, SafePosition) {
    let (safe, current) = watch::channel(Position::START);
    let (newest, handed_out) = watch::channel(Position::START);
    (Found { safe, newest }, SafePosition::new(current, handed_out, Arc::clone(nudge)))
}

/// When to look.
struct Rhythm {
    clock: SharedClock,
    poll_min: Duration,
    poll_max: Duration,
    nudge: Arc<Notify>,
    shutdown: Shutdown,
}

impl Rhythm {
    async fn run<F, R>(self, shown: Found, round: F)
    where
        F: Fn() -> R,
        R: Future<Output = Result<Round, FeedError>>,
    {
        let mut pause = self.poll_min;
        let mut moved_at = Instant::now();
        let fault = Fault::new();
        while !self.shutdown.is_requested() {
            // Registered before looking: a nudge during the round shortens the pause after it.
            let nudged = self.nudge.notified();
            let looked = match timeout(ROUND_WAIT_MAX, round()).await {
                Ok(looked) => looked,
                Err(_elapsed) => Err(FeedError::Timeout),
            };
            pause = match looked {
                Ok(found) => {
                    if let Some(failures) = fault.ended() {
                        tracing::info!(failures, "the log's edge can be looked at again");
                    }
                    let moved = shown.show(&found);
                    if moved || found.safe < found.newest {
                        moved_at = Instant::now();
                    }
                    let is_moving = moved_at.elapsed() < LINGER;
                    if is_moving { self.poll_min } else { (pause * 2).min(self.poll_max) }
                }
                Err(error) => {
                    metrics::counter!(WATCH_FAILURES).increment(1);
                    if let Some(failures) = fault.occurred() {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, failures, "a look at the log's edge failed");
                    }
                    self.poll_max
                }
            };
            tokio::select! {
                () = self.shutdown.requested() => {}
                () = nudged => {}
                () = self.clock.sleep(pause) => {}
            }
        }
        tracing::debug!("the watcher of the log ends at shutdown");
    }
}

/// What a look found.
struct Round {
    safe: Position,
    newest: Position,
}

async fn watch_round(pool: &Pool, options: &WatcherOptions) -> Result<Round, FeedError> {
    let started = Instant::now();
    let round = compute(pool).await?;
    metrics::histogram!(WATCH_SECONDS).record(started.elapsed());
    if let Some(on_advance) = &options.on_advance
        && round.advanced
    {
        on_advance(round.round.safe);
    }
    Ok(round.round)
}

struct Computed {
    round: Round,
    advanced: bool,
}

async fn compute(pool: &Pool) -> Result<Computed, FeedError> {
    let client = pool.get().await?;
    let stored =
        client.prepare_cached(include_str!("sql/read_safe.sql")).await.map_err(FeedError::Watch)?;
    let row = client.query_opt(&stored, &[]).await.map_err(FeedError::Watch)?;
    let row = row.ok_or(FeedError::NoSafeRow)?;
    let before: i64 = row.try_get(0).map_err(FeedError::Watch)?;
    let newest = Position::new(row.try_get(1).map_err(FeedError::Watch)?);
    // In a statement of its own, after the one that said what the newest position is.
    let bound = client.prepare_cached(OLDEST_BOUND).await.map_err(FeedError::Watch)?;
    let found = settled_below(&client, &bound, newest).await.map_err(FeedError::Watch)?;
    #[expect(clippy::cast_precision_loss, reason = "a gauge for people; the distance is small")]
    let unsettled = (found.newest.number() - found.safe.number()) as f64;
    metrics::gauge!(UNSETTLED_POSITIONS).set(unsettled);
    if found.safe.number() <= before {
        let safe = Position::new(before);
        return Ok(Computed { round: Round { safe, newest: found.newest }, advanced: false });
    }
    let store = client
        .prepare_cached(include_str!("sql/store_safe.sql"))
        .await
        .map_err(FeedError::Watch)?;
    let safe = client
        .query_one(&store, &[&found.safe.number()])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(FeedError::Watch)?;
    Ok(Computed {
        round: Round { safe: Position::new(safe), newest: found.newest },
        advanced: true,
    })
}

/// Since when the stored position has not moved although there is more.
#[derive(Debug)]
struct Patience {
    safe: Position,
    since: Instant,
}

impl Patience {
    fn new() -> Self {
        Self { safe: Position::START, since: Instant::now() }
    }

    /// Whether `safe` has stood still for longer than `limit`.
    fn is_over(&mut self, safe: Position, limit: Duration) -> bool {
        if self.safe != safe {
            *self = Self { safe, since: Instant::now() };
        }
        limit <= self.since.elapsed()
    }

    fn restart(&mut self) {
        self.since = Instant::now();
    }
}

async fn follow_round(
    pool: &Pool,
    patience: &std::sync::Mutex<Patience>,
    takeover_after: Duration,
) -> Result<Round, FeedError> {
    let read = {
        let client = pool.get().await?;
        let statement = client
            .prepare_cached(include_str!("sql/read_safe.sql"))
            .await
            .map_err(FeedError::Watch)?;
        client.query_opt(&statement, &[]).await.map_err(FeedError::Watch)?
    };
    let row = read.ok_or(FeedError::NoSafeRow)?;
    let safe = Position::new(row.try_get(0).map_err(FeedError::Watch)?);
    let newest = Position::new(row.try_get(1).map_err(FeedError::Watch)?);
    let silent = {
        let mut patience = patience.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let behind = safe < newest;
        let over = behind && patience.is_over(safe, takeover_after);
        if over || !behind {
            patience.restart();
        }
        over
    };
    if !silent {
        return Ok(Round { safe, newest });
    }
    metrics::counter!(TAKEOVERS).increment(1);
    Ok(compute(pool).await?.round)
}

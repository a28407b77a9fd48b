//! Builds a projection again from the log, beside the version that is served, and switches to it.
//!
//! New tables, everything up to where the log is settled, indexes, a check, the rest of the log, and
//! one short transaction that replaces the views. Readers see no gap and no half-built table. A
//! rebuild that ends before, or whose version sets events aside which the served one does not, leaves a
//! version that is `building`, `checking` or `refused`: it can't be served, and the next rebuild
//! removes it.

mod fill;
mod report;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::Position;
use deadpool_postgres::Pool;
use event_feed::{Watcher, WatcherOptions};
use service_kit::clock::SystemClock;
use service_kit::shutdown::{Shutdown, pair};
use tokio::time::timeout;

use self::fill::Filled;
pub use self::report::{Checked, RebuildReport};
use crate::batch::Target;
use crate::config::ProjectorConfig;
use crate::error::ProjectionError;
use crate::hints::{Hints, Positions};
use crate::parked;
use crate::run::owner;
use crate::versions::{self, Claim, State, for_version, position_of};
use crate::worker::{Shared, Until, Worker};
use crate::working::Model;

/// Documents kept in memory while the tables are filled. Beyond, they are written and read back as
/// needed: slower, but bounded. An order takes about 3 KiB.
pub const DOCUMENTS_MAX: usize = 200_000;
/// How often a version that another process follows is asked how far it is.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(50);
/// Longest wait for the watcher's first look at the log.
const FIRST_LOOK_WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest wait for the new version to catch up with the log.
const CATCH_UP_WAIT_MAX: Duration = Duration::from_mins(10);

/// What is being done, for a progress bar.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The step, in a word or two.
    pub step: &'static str,
    /// How much of it is done.
    pub done: u64,
    /// Out of how much.
    pub total: u64,
}

/// What becomes of a new version that sets events aside which the served one does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewlyParked {
    /// It is refused: readers would lose what those events did.
    Refused,
    /// It is offered and served like any other.
    Allowed,
}

/// How a rebuild is done.
#[derive(Clone)]
pub struct RebuildOptions {
    /// Folds and counts; makes no table and changes nothing.
    pub dry_run: bool,
    /// Leaves the new version ready and followed, but not served.
    pub no_switch: bool,
    /// Compares the whole new version with a second replay before it is served.
    pub full_verify: bool,
    /// What becomes of a new version that sets events aside which the served one does not.
    pub newly_parked: NewlyParked,
    /// Cores that decode events.
    pub jobs: usize,
    /// Documents kept in memory; see [`DOCUMENTS_MAX`].
    pub documents_max: usize,
    /// Told what is being done.
    pub on_progress: Arc<dyn Fn(Progress) + Send + Sync>,
}

impl Default for RebuildOptions {
    fn default() -> Self {
        Self {
            dry_run: false,
            no_switch: false,
            full_verify: false,
            newly_parked: NewlyParked::Refused,
            jobs: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            documents_max: DOCUMENTS_MAX,
            on_progress: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for RebuildOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RebuildOptions")
            .field("dry_run", &self.dry_run)
            .field("no_switch", &self.no_switch)
            .field("jobs", &self.jobs)
            .finish_non_exhaustive()
    }
}

/// Rebuilds the projection `name` and serves the result.
///
/// # Errors
/// [`ProjectionError`]; the served version is then the one it was.
pub async fn rebuild(
    config: &ProjectorConfig,
    name: &str,
) -> Result<RebuildReport, ProjectionError> {
    rebuild_with(config, name, RebuildOptions::default(), &Shutdown::never()).await
}

/// Rebuilds the projection `name` as `options` say, unless `shutdown` ends it before.
///
/// # Errors
/// As [`rebuild`]; [`ProjectionError::Stopped`] at shutdown, with nothing left behind that the next
/// rebuild does not remove.
pub async fn rebuild_with(
    config: &ProjectorConfig,
    name: &str,
    options: RebuildOptions,
    shutdown: &Shutdown,
) -> Result<RebuildReport, ProjectionError> {
    let model = crate::find(name)?;
    let pool = config.patient_pool()?;
    let (end, until) = pair();
    let clock = SystemClock::shared();
    let watching = WatcherOptions::default();
    let watcher = Watcher::start(pool.clone(), Arc::clone(&clock), watching, until.clone());
    let shared = Shared {
        pool: pool.clone(),
        safe: watcher.safe(),
        clock,
        hints: Hints::start(Positions::new(), None, until),
        batch_events_max: config.batch_events_max,
        owner: owner("rebuild"),
    };
    let build = Build { model, pool, options, shared, config: config.clone() };
    let built = tokio::select! {
        built = build.run() => built,
        () = shutdown.requested() => Err(ProjectionError::Stopped),
    };
    end.trigger();
    watcher.stopped().await;
    built
}

/// One rebuild.
struct Build {
    model: &'static dyn Model,
    pool: Pool,
    options: RebuildOptions,
    shared: Shared,
    config: ProjectorConfig,
}

impl Build {
    async fn run(&self) -> Result<RebuildReport, ProjectionError> {
        let begun = Instant::now();
        let position = self.settled().await?;
        if self.options.dry_run {
            let filled = self.fill(None, position).await?;
            let took = begun.elapsed();
            return Ok(self.report(None, filled, (position, took), Checked::Nothing));
        }
        let _claim = Claim::take(&self.pool, self.model.name()).await?;
        let version = self.begin().await?;
        let target = Target::new(self.model, version);
        let filled = self.fill(Some((&target, version)), position).await?;
        self.finish(&target, version, position).await?;
        let took = begun.elapsed();
        self.catch_up(version).await?;
        self.refuse_newly_parked(version).await?;
        let checked = if self.options.full_verify {
            Checked::Replayed { rows: self.verify(version).await? }
        } else {
            Checked::Copied { sample: filled.sample }
        };
        self.advance(version, (State::Checking, State::Ready)).await?;
        let mut report = self.report(Some(version), filled, (position, took), checked);
        if !self.options.no_switch {
            versions::serve(&self.pool, self.model, version, &self.shared.clock).await?;
            report.is_served = true;
        }
        Ok(report)
    }

    fn report(
        &self,
        version: Option<i32>,
        filled: Filled,
        (position, took): (Position, Duration),
        checked: Checked,
    ) -> RebuildReport {
        let Filled { events, rows, parked, given_up, sample: _ } = filled;
        RebuildReport {
            name: self.model.name().to_owned(),
            version,
            events,
            rows,
            parked,
            given_up,
            position,
            took,
            checked,
            is_served: false,
        }
    }

    /// Up to where the log is settled. The stored position may be old when no process watches, so
    /// our own watcher's first look is waited for; without it everything would be left to catch up.
    async fn settled(&self) -> Result<Position, ProjectionError> {
        let mut safe = self.shared.safe.subscribe();
        let looked = safe.wait_for(|position| Position::START < *position);
        // A watcher that can't look will say so itself; what is stored is then good enough.
        drop(timeout(FIRST_LOOK_WAIT_MAX, looked).await);
        let client = self.pool.get().await?;
        let row = client.query_one("select safe from feed_position", &[]).await?;
        let stored = Position::new(row.try_get(0)?);
        Ok(stored.max(self.shared.safe.current()))
    }

    /// Makes the tables of the next version, with what operators gave up in earlier ones, and removes
    /// what an earlier rebuild left unfinished.
    async fn begin(&self) -> Result<i32, ProjectionError> {
        let known = versions::of(&self.pool, self.model).await?;
        let version = known.iter().map(|version| version.version).max().unwrap_or(0) + 1;
        versions::create(&self.pool, self.model, version).await?;
        parked::keep_given_up(&self.pool, self.model.name(), version).await?;
        for left in known.iter().filter(|version| version.state.is_unfinished()) {
            tracing::info!(
                projection = self.model.name(),
                version = left.version,
                "removing what an unfinished rebuild left"
            );
            versions::drop_version(&self.pool, self.model, left.version).await?;
        }
        Ok(version)
    }

    /// Indexes, statistics, what no event tells; then the version may be followed and checked.
    async fn finish(
        &self,
        target: &Target,
        version: i32,
        position: Position,
    ) -> Result<(), ProjectionError> {
        let client = self.pool.get().await?;
        let statements = [
            for_version(self.model.carry_over_sql(), version),
            for_version(self.model.indexes_sql(), version),
        ];
        for (done, statement) in statements.iter().enumerate() {
            self.tell_count("indexing", done, statements.len());
            client.batch_execute(statement).await?;
        }
        for table in &target.tables {
            client.batch_execute(&format!("analyze {}", table.name)).await?;
        }
        drop(client);
        let mut client = self.pool.get().await?;
        let tx = client.transaction().await?;
        let name = self.model.name();
        tx.execute(
            "update projection_shard set position = $3, moved_at = clock_timestamp() \
             where name = $1 and version = $2",
            &[&name, &version, &position.number()],
        )
        .await?;
        versions::advance(&tx, name, version, (State::Building, State::Checking)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Follows the log with the new version until it is where the log is settled now; if another
    /// process already follows it, waits for that one.
    async fn catch_up(&self, version: i32) -> Result<(), ProjectionError> {
        let begun = Instant::now();
        let goal = self.settled().await?;
        let worker = Worker::new(self.shared.clone(), self.model, version, false);
        while begun.elapsed() < CATCH_UP_WAIT_MAX {
            let reached = position_of(&self.pool, self.model.name(), version).await?;
            self.tell("catching up", reached.number(), goal.number());
            if goal <= reached {
                return Ok(());
            }
            let until = Until::Reached(goal);
            if !worker.turn(until, &Shutdown::never()).await? {
                self.shared.clock.sleep(CATCH_UP_PAUSE).await;
            }
        }
        let (name, waited) = (self.model.name().to_owned(), CATCH_UP_WAIT_MAX);
        Err(ProjectionError::Behind { name, version, waited })
    }

    async fn advance(&self, version: i32, change: (State, State)) -> Result<(), ProjectionError> {
        let client = self.pool.get().await?;
        versions::advance(&client, self.model.name(), version, change).await
    }

    /// Refuses a version for good that sets events aside which the served one does not, unless that is
    /// allowed.
    async fn refuse_newly_parked(&self, version: i32) -> Result<(), ProjectionError> {
        let name = self.model.name();
        let found = parked::newly_parked(&self.pool, name, version).await?;
        let (Some(found), NewlyParked::Refused) = (found, self.options.newly_parked) else {
            return Ok(());
        };
        self.advance(version, (State::Checking, State::Refused)).await?;
        Err(ProjectionError::NewlyParked { name: name.to_owned(), version, found })
    }

    /// Compares the version with a replay; one that differs is refused for good. The rows compared.
    async fn verify(&self, version: i32) -> Result<u64, ProjectionError> {
        let name = self.model.name();
        let report = crate::verify::verify_version(&self.config, name, Some(version)).await?;
        if report.is_equal() {
            return Ok(report.rows);
        }
        self.advance(version, (State::Checking, State::Refused)).await?;
        let table = format!("{name} version {version}");
        Err(ProjectionError::Unfaithful { table, found: report.to_string() })
    }

    fn tell(&self, step: &'static str, done: i64, total: i64) {
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        (self.options.on_progress)(Progress { step, done: number(done), total: number(total) });
    }

    fn tell_count(&self, step: &'static str, done: usize, total: usize) {
        let (done, total) = (done as u64, total as u64);
        (self.options.on_progress)(Progress { step, done, total });
    }
}

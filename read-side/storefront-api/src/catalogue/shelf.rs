//! Finished bodies, kept for a moment and built once however many ask at once.
//!
//! Each body carries the position of its projections, read before its rows, so that it shows at
//! least that much of the log. A request for a position is answered from here when that suffices.
//! At most one build of a question runs at a time, and whoever needs a newer body waits for it and
//! begins the next: so an older build never replaces a newer body. The version of a projection is
//! not needed beside its position, since builds of one question follow each other, and after a
//! rollback a body that shows less than asked for is told by its position.
//!
//! A build runs in a task of its own, so that it ends although the client that began it has left.
//! While the database is out of reach, bodies are shown beyond their moment, and one build in
//! [`RETRY_PAUSE`] finds out when it is back; whoever began it waits for it, so that the first to ask
//! after an outage is shown what is true now.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::Position;
use moka::future::Cache;
use service_kit::problem::Problem;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::http::Finished;
use crate::read_error::ReadError;

/// How long a body is shown without asking the database, from the beginning of its build. A changed
/// price must be visible within a second on every node, and no node hears of the change yet: the
/// rest of the second is for the projector and the build.
const FRESH_FOR: Duration = Duration::from_millis(750);
/// From this age on an answer carries it.
const TOLD_FROM: Duration = Duration::from_secs(1);
/// How long a body is shown while the database is out of reach. Longer than a failover or a restart
/// takes; an order is never priced from here, so an old price misleads, but costs nobody anything.
const STALE_FOR: Duration = Duration::from_mins(10);
/// Longest wait for a newer body while there is an older one to show: far above any build of a page
/// that is looked at, and short for a shopper.
const REFRESH_WAIT_MAX: Duration = Duration::from_secs(1);
/// Pause between two attempts to reach a database that is away, while there are bodies to show.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// Most builds at once. A build ends after five seconds at the latest; more than these wait for
/// connections in vain.
const BUILDS_MAX: usize = 1_000;
/// Most bytes kept: about three thousand pages.
const KEPT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// What an absent item costs to remember, in bytes.
const ABSENT_WEIGHT: u32 = 128;

/// What a build finds: a JSON text, or that there is nothing by this name.
#[derive(Debug)]
pub(crate) struct Built {
    /// The body; none for an unknown item, which is remembered too.
    pub(crate) json: Option<String>,
    /// What the body shows at least.
    pub(crate) position: Position,
}

/// A built body with what it shows and since when.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// The body, or that there is none.
    pub(crate) body: Option<Arc<Finished>>,
    /// What the body shows at least.
    position: Position,
    /// When its build began.
    begun_at: Instant,
}

impl Kept {
    /// What a build that began then has found.
    pub(crate) fn new(built: Built, begun_at: Instant) -> Self {
        let body = built.json.map(|json| Arc::new(Finished::new(json)));
        Self { body, position: built.position, begun_at }
    }

    /// Whether this shows the event at `position`; also when no position is asked for.
    pub(crate) fn shows(&self, position: Option<Position>) -> bool {
        position.is_none_or(|position| position <= self.position)
    }

    /// How old this is, when it is so old that whoever reads it should be told.
    pub(crate) fn age(&self) -> Option<Duration> {
        let age = self.begun_at.elapsed();
        (TOLD_FROM <= age).then_some(age)
    }

    fn is_fresh(&self) -> bool {
        self.begun_at.elapsed() < FRESH_FOR
    }
}

/// How a build ended; none while it is under way.
type Landing = Option<Result<Kept, Problem>>;

/// A build that somebody began.
#[derive(Clone)]
struct UnderWay {
    begun_at: Instant,
    landing: watch::Receiver<Landing>,
}

/// Bodies by the question they answer. Clones share them.
#[derive(Clone)]
pub(crate) struct Shelf<Q>(Arc<Inner<Q>>);

struct Inner<Q> {
    kept: Cache<Q, Kept>,
    builds: Mutex<HashMap<Q, UnderWay>>,
    /// While the database is out of reach: when to try it again.
    retry_at: Mutex<Option<Instant>>,
}

impl<Q: Clone + Hash + Eq + Send + Sync + 'static> Shelf<Q> {
    /// A shelf with nothing on it.
    pub(crate) fn new() -> Self {
        let kept = Cache::builder()
            .max_capacity(KEPT_BYTES_MAX)
            .weigher(|_: &Q, kept: &Kept| {
                kept.body.as_ref().map_or(ABSENT_WEIGHT, |body| body.weight())
            })
            .time_to_live(STALE_FOR)
            .build();
        Self(Arc::new(Inner {
            kept,
            builds: Mutex::new(HashMap::new()),
            retry_at: Mutex::new(None),
        }))
    }

    /// The kept body, if it is fresh and shows the event at `position`.
    pub(crate) async fn fresh(&self, question: &Q, position: Option<Position>) -> Option<Kept> {
        let kept = self.0.kept.get(question).await?;
        (kept.is_fresh() && kept.shows(position)).then_some(kept)
    }

    /// A body that is fresh and shows the event at `position`, which the projections have reached;
    /// an older one while the database is out of reach.
    ///
    /// # Errors
    /// The body cannot be built and there is no older one.
    pub(crate) async fn find<F>(
        &self,
        question: Q,
        position: Option<Position>,
        build: impl Fn() -> F,
    ) -> Result<Kept, Problem>
    where
        F: Future<Output = Result<Built, ReadError>> + Send + 'static,
    {
        if let Some(kept) = self.fresh(&question, position).await {
            return Ok(kept);
        }
        let older = self.0.kept.get(&question).await;
        // Of those who ask while the database is away, one in `RETRY_PAUSE` finds out whether it is
        // back, and so does everybody who knows of an event that the kept body does not show.
        if let Some(kept) = &older
            && self.is_away()
            && kept.shows(position)
            && !self.may_try()
        {
            return Ok(kept.clone());
        }
        let joined = self.landed(&question, older.as_ref(), &build).await?;
        if joined.shows(position) {
            return Ok(joined);
        }
        // That build may have begun before the projections were where they are. The next begins now.
        self.landed(&question, older.as_ref(), &build).await
    }

    /// What the build that is under way finds, or one that begins now; `older` when the database is
    /// out of reach.
    async fn landed<F>(
        &self,
        question: &Q,
        older: Option<&Kept>,
        build: &impl Fn() -> F,
    ) -> Result<Kept, Problem>
    where
        F: Future<Output = Result<Built, ReadError>> + Send + 'static,
    {
        let UnderWay { begun_at, mut landing } = match (self.join(question, build), older) {
            (Ok(under_way), _) => under_way,
            (Err(_crowded), Some(older)) => return Ok(older.clone()),
            (Err(crowded), None) => return Err(crowded),
        };
        let landed = landing.wait_for(Option::is_some);
        let Some(older) = older else {
            return outcome(landed.await.ok().as_deref());
        };
        // Whoever comes later to a slow build waits no longer than the one who began it.
        let wait_max = REFRESH_WAIT_MAX.saturating_sub(begun_at.elapsed());
        let Ok(landed) = timeout(wait_max, landed).await else {
            return Ok(older.clone());
        };
        outcome(landed.ok().as_deref()).or_else(|problem| {
            let is_unavailable = problem.status().as_u16() == 503;
            if is_unavailable { Ok(older.clone()) } else { Err(problem) }
        })
    }

    /// The build of this question that is under way, or one that begins now.
    fn join<F>(&self, question: &Q, build: &impl Fn() -> F) -> Result<UnderWay, Problem>
    where
        F: Future<Output = Result<Built, ReadError>> + Send + 'static,
    {
        let mut builds = locked(&self.0.builds);
        if let Some(under_way) = builds.get(question) {
            return Ok(under_way.clone());
        }
        if BUILDS_MAX <= builds.len() {
            return Err(ReadError::Crowded.into());
        }
        let (sender, landing) = watch::channel(None);
        let under_way = UnderWay { begun_at: Instant::now(), landing };
        builds.insert(question.clone(), under_way.clone());
        drop(builds);
        let place = Place { inner: Arc::clone(&self.0), question: question.clone() };
        let built = build();
        tokio::spawn(async move {
            let landed = place.inner.run(&place.question, built).await;
            // Given back before the waiting are told: whoever needs a newer body begins the next.
            drop(place);
            sender.send_replace(Some(landed));
        });
        Ok(under_way)
    }

    fn is_away(&self) -> bool {
        locked(&self.0.retry_at).is_some()
    }

    /// Whether it is time to try the database again; the next time is later.
    fn may_try(&self) -> bool {
        let mut retry_at = locked(&self.0.retry_at);
        let is_due = retry_at.is_some_and(|at| at <= Instant::now());
        if is_due {
            *retry_at = Some(Instant::now() + RETRY_PAUSE);
        }
        is_due
    }
}

impl<Q: Clone + Hash + Eq + Send + Sync + 'static> Inner<Q> {
    async fn run(
        &self,
        question: &Q,
        build: impl Future<Output = Result<Built, ReadError>>,
    ) -> Result<Kept, Problem> {
        let begun_at = Instant::now();
        match build.await {
            Ok(built) => {
                let kept = Kept::new(built, begun_at);
                self.kept.insert(question.clone(), kept.clone()).await;
                if locked(&self.retry_at).take().is_some() {
                    tracing::info!("the read models are back");
                }
                Ok(kept)
            }
            Err(error) => {
                if error.is_outage() {
                    self.lose();
                }
                Err(error.into())
            }
        }
    }
}

impl<Q> Inner<Q> {
    /// The database is out of reach.
    fn lose(&self) {
        *locked(&self.retry_at) = Some(Instant::now() + RETRY_PAUSE);
    }
}

/// A build under way; also a build that panics is over when this is dropped.
struct Place<Q: Hash + Eq> {
    inner: Arc<Inner<Q>>,
    question: Q,
}

impl<Q: Hash + Eq> Drop for Place<Q> {
    fn drop(&mut self) {
        locked(&self.inner.builds).remove(&self.question);
    }
}

/// What a build found; it panicked when it ended without.
fn outcome(landing: Option<&Landing>) -> Result<Kept, Problem> {
    landing.and_then(Clone::clone).unwrap_or_else(|| Err(Problem::internal_unexplained()))
}

/// No code here panics while it holds a lock, and what is locked is whole at every step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

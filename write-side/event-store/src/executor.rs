//! Carries a command: load, decide, append, and again when somebody else was quicker.
//!
//! Whatever is answered was checked against the log: a cached state may be old, so what it refuses
//! or finds unnecessary is decided once more on a fresh one, and what it decides is checked at commit,
//! by its version and by the command of its last event. A stale entry costs one retry and nothing
//! else. A caller who knows that it is stale spares the try. What the log has beyond the entry is
//! read, not the whole history, and only where the log holds the entry's last event: one that was set
//! back (a failover to a copy that lacks events, a restore) may have grown past it with other events,
//! and then the history is read from its beginning.
//!
//! The work runs in a task of its own: a caller that goes away does not stop what was accepted.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::Position;
use domain::EventSourced;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use rand::RngExt as _;
use serde_json::Value;
use service_kit::clock::{Clock as _, SystemClock};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::append::{EventIdentity, Outcome, Receipt, StoredReceipt};
use crate::encode::append_of;
use crate::error::{AppendError, DispatchError, StoreError};
use crate::metrics::{CONFLICTS, DISPATCH_SECONDS, MEMORIES_REFUTED, REPLAYS, RETRIES};
use crate::store::{History, Store};

mod context;

pub use context::{CommandContext, ReceiptKey, Respond};

/// Longest pause before the first retry; each further one may be twice as long.
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(2);
/// The pause doubles at most this often: 64 ms, about ten appends on a busy machine.
const RETRY_DOUBLINGS_MAX: u32 = 5;

/// How an executor behaves.
#[derive(Debug, Clone, Copy)]
pub struct ExecutorOptions {
    /// How often a command is decided again after losing to another writer.
    pub conflict_retries: u32,
    /// Aggregates remembered between commands; 0 loads for every command.
    pub cache_entries: u64,
}

impl Default for ExecutorOptions {
    fn default() -> Self {
        Self { conflict_retries: 5, cache_entries: 10_000 }
    }
}

/// An aggregate as the log has it.
#[derive(Debug, Clone)]
pub struct Loaded<A> {
    /// What its history adds up to; the default of `A` when it has none.
    pub state: A,
    /// How many events it has.
    pub version: u64,
    /// The last of them, by which the log is known to hold this state.
    pub last: Option<EventIdentity>,
}

/// What a command did.
#[derive(Debug, Clone)]
pub struct Recorded<A: EventSourced> {
    /// The aggregate.
    pub id: Uuid,
    /// Its version after the command.
    pub version: u64,
    /// Where the last event of the command lies; `None` when it changed nothing.
    pub position: Option<Position>,
    /// What happened, in order.
    pub events: Vec<A::Body>,
    /// The state after it; after a replay, the state as it is now.
    pub state: A,
    /// The stored answer, when this command had been carried out before under the same key.
    pub replayed: Option<Value>,
}

/// Carries commands to one kind of aggregate. Clones share store and cache.
pub struct Executor<A: EventSourced>(Arc<Inner<A>>);

struct Inner<A: EventSourced> {
    store: Arc<dyn Store<A>>,
    options: ExecutorOptions,
    cache: Option<Cache<Uuid, Arc<Loaded<A>>>>,
}

impl<A: EventSourced> Clone for Executor<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: EventSourced> fmt::Debug for Executor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Executor({})", A::TYPE)
    }
}

impl<A: EventSourced> Executor<A> {
    /// An executor over `store`.
    pub fn new(store: Arc<impl Store<A>>, options: ExecutorOptions) -> Self {
        // Who was busy a moment ago is busy next; how often somebody came last week says nothing.
        let cache = (options.cache_entries != 0).then(|| {
            let recent = Cache::builder().eviction_policy(EvictionPolicy::lru());
            recent.max_capacity(options.cache_entries).build()
        });
        Self(Arc::new(Inner { store, options, cache }))
    }

    /// Carries `command` to aggregate `id` and waits for the outcome.
    ///
    /// Once called and polled, the command runs to its end although the returned future is dropped.
    ///
    /// # Errors
    /// [`DispatchError`]; then nothing was written, except where it says that this is unknown.
    pub async fn dispatch(
        &self,
        id: Uuid,
        command: A::Order,
        context: CommandContext<A>,
    ) -> Result<Recorded<A>, DispatchError<A::Refused>> {
        let inner = Arc::clone(&self.0);
        let span = tracing::debug_span!(
            "dispatch",
            aggregate.r#type = A::TYPE,
            aggregate.id = %id,
            request.id = %context.metadata.correlation_id,
        );
        let work = async move {
            let started = Instant::now();
            let outcome = inner.carry(id, command, &context).await;
            metrics::histogram!(DISPATCH_SECONDS, "aggregate" => A::TYPE).record(started.elapsed());
            outcome
        };
        match tokio::spawn(work.instrument(span)).await {
            Ok(outcome) => outcome,
            // The task panicked or the runtime is going down: what it did is for the log to say.
            Err(error) => {
                tracing::error!(error = %error, "a command's task ended early");
                Err(DispatchError::Store(StoreError::OutcomeUnknown))
            }
        }
    }

    /// The aggregate as the log has it now. For answers and version tags; a decision is made by
    /// [`dispatch`](Self::dispatch). What this process remembers is proven and completed by one short
    /// read that is shared with others, so a long history is read once; only what it does not remember
    /// is loaded.
    ///
    /// # Errors
    /// The store is away, or holds an event this build cannot read.
    pub async fn load(&self, id: Uuid) -> Result<Loaded<A>, StoreError> {
        let loaded = self.0.current(id).await?;
        Ok(Loaded::clone(&loaded))
    }

    /// As [`load`](Self::load), without a copy, for a caller that knows of `version`. Earlier than
    /// that only when the log was set back.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn load_at_least(
        &self,
        id: Uuid,
        version: u64,
    ) -> Result<Arc<Loaded<A>>, StoreError> {
        let loaded = self.0.current(id).await?;
        if loaded.version < version {
            tracing::warn!(
                aggregate.r#type = A::TYPE,
                aggregate.id = %id,
                loaded.version,
                version,
                "the log is behind what was read of it",
            );
        }
        Ok(loaded)
    }
}

impl<A: EventSourced> Inner<A> {
    /// The aggregate as the log has it, from what is remembered if anything is.
    async fn current(&self, id: Uuid) -> Result<Arc<Loaded<A>>, StoreError> {
        match self.recall(id) {
            Some(remembered) => self.catch_up(id, remembered).await,
            None => self.load(id).await,
        }
    }

    async fn load(&self, id: Uuid) -> Result<Arc<Loaded<A>>, StoreError> {
        let History { events, last } = self.store.history(id).await?;
        let (state, version) = (A::replay(&events), events.len() as u64);
        let loaded = Arc::new(Loaded { state, version, last });
        self.remember(id, &loaded);
        Ok(loaded)
    }

    /// `remembered` and what the log has beyond it; the whole history when the log does not hold it.
    async fn catch_up(
        &self,
        id: Uuid,
        remembered: Arc<Loaded<A>>,
    ) -> Result<Arc<Loaded<A>>, StoreError> {
        let missed = self.store.history_after(id, remembered.version, remembered.last).await?;
        let Some(History { events, last }) = missed else {
            metrics::counter!(MEMORIES_REFUTED, "aggregate" => A::TYPE).increment(1);
            tracing::warn!(
                aggregate.r#type = A::TYPE,
                aggregate.id = %id,
                remembered.version,
                "the log does not hold what was remembered; it was set back",
            );
            return self.load(id).await;
        };
        if events.is_empty() {
            return Ok(remembered);
        }
        let mut state = remembered.state.clone();
        for event in &events {
            state.evolve(event);
        }
        let version = remembered.version + events.len() as u64;
        let loaded = Arc::new(Loaded { state, version, last });
        self.remember(id, &loaded);
        Ok(loaded)
    }

    fn remember(&self, id: Uuid, loaded: &Arc<Loaded<A>>) {
        if let Some(cache) = &self.cache {
            cache.insert(id, Arc::clone(loaded));
        }
    }

    fn recall(&self, id: Uuid) -> Option<Arc<Loaded<A>>> {
        self.cache.as_ref().and_then(|cache| cache.get(&id))
    }

    async fn carry(
        &self,
        id: Uuid,
        command: A::Order,
        context: &CommandContext<A>,
    ) -> Result<Recorded<A>, DispatchError<A::Refused>> {
        let mut remembered = self.recall(id);
        if let Some(remembered) = &remembered
            && context.known_version <= remembered.version
            && let Some(outcome) = self.try_remembered(id, remembered, &command, context).await
        {
            return outcome;
        }
        let mut conflicts = 0;
        loop {
            let loaded = match remembered.take() {
                Some(remembered) => self.catch_up(id, remembered).await?,
                None => self.load(id).await?,
            };
            match self.attempt(id, &loaded, command.clone(), context).await {
                Err(DispatchError::Conflict) if conflicts < self.options.conflict_retries => {
                    conflicts += 1;
                    metrics::counter!(RETRIES, "aggregate" => A::TYPE).increment(1);
                    retry_pause(conflicts).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// One attempt on a remembered state. `None` when its age may be the reason of the outcome:
    /// then the log has to be asked.
    async fn try_remembered(
        &self,
        id: Uuid,
        remembered: &Loaded<A>,
        command: &A::Order,
        context: &CommandContext<A>,
    ) -> Option<Result<Recorded<A>, DispatchError<A::Refused>>> {
        if context.expected_version.is_some_and(|expected| expected != remembered.version) {
            return None;
        }
        let events = remembered.state.decide(command.clone()).ok()?;
        if events.is_empty() {
            return None;
        }
        match self.record(id, remembered, events, context).await {
            Err(DispatchError::Conflict) => None,
            outcome => Some(outcome),
        }
    }

    /// One attempt on the state that the log has.
    async fn attempt(
        &self,
        id: Uuid,
        loaded: &Loaded<A>,
        command: A::Order,
        context: &CommandContext<A>,
    ) -> Result<Recorded<A>, DispatchError<A::Refused>> {
        let refusal = match context.expected_version {
            Some(expected) if expected != loaded.version => {
                DispatchError::Stale { current: loaded.version }
            }
            Some(_) | None => match loaded.state.decide(command) {
                Ok(events) => return self.record(id, loaded, events, context).await,
                Err(refusal) => DispatchError::Refused(refusal),
            },
        };
        // The first hearing of this command may be the very reason for the refusal.
        let Some(key) = &context.receipt else {
            return Err(refusal);
        };
        match self.store.receipt(&key.scope, &key.key).await? {
            None => Err(refusal),
            Some(stored) if stored.request_digest != key.request_digest => {
                Err(DispatchError::KeyReused)
            }
            Some(stored) => self.replay(id, stored).await,
        }
    }

    async fn record(
        &self,
        id: Uuid,
        before: &Loaded<A>,
        events: Vec<A::Body>,
        context: &CommandContext<A>,
    ) -> Result<Recorded<A>, DispatchError<A::Refused>> {
        let mut state = before.state.clone();
        let at = (before.version, before.last.map(|last| last.command_id));
        let mut append = append_of::<A>(id, at, &mut state, &events, &context.metadata)
            .map_err(StoreError::from)?;
        let command_id = append.command_id;
        append.receipt = context.receipt.as_ref().map(|key| Receipt {
            scope: key.scope.clone(),
            key: key.key.clone(),
            request_digest: key.request_digest.clone(),
            keep_for: key.keep_for,
            result: context
                .respond
                .as_ref()
                .map_or(Value::Null, |respond| respond(&state, &events)),
        });
        let version = append.version_after();
        // Nothing to write and nobody to remember it for.
        if events.is_empty() && append.receipt.is_none() {
            return Ok(Recorded { id, version, position: None, events, state, replayed: None });
        }
        match self.store.append(append).await {
            Ok(Outcome::Written(positions)) => {
                let position = positions.last().copied();
                if let Some(position) = position {
                    let last = Some(EventIdentity { position, command_id });
                    self.remember(id, &Arc::new(Loaded { state: state.clone(), version, last }));
                }
                Ok(Recorded { id, version, position, events, state, replayed: None })
            }
            Ok(Outcome::Replayed(stored)) => self.replay(id, stored).await,
            Err(AppendError::Conflict) => {
                metrics::counter!(CONFLICTS, "aggregate" => A::TYPE).increment(1);
                Err(DispatchError::Conflict)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The outcome of an earlier, identical command.
    async fn replay(
        &self,
        id: Uuid,
        stored: StoredReceipt,
    ) -> Result<Recorded<A>, DispatchError<A::Refused>> {
        metrics::counter!(REPLAYS, "aggregate" => A::TYPE).increment(1);
        let history = self.store.history(id).await?.events;
        let state = A::replay(&history);
        let events = (1..)
            .zip(history)
            .filter(|(sequence, _)| {
                stored.first_version < *sequence && *sequence <= stored.last_version
            })
            .map(|(_, event)| event)
            .collect();
        Ok(Recorded {
            id,
            version: stored.last_version,
            position: stored.positions.last().copied(),
            events,
            state,
            replayed: Some(stored.result),
        })
    }
}

/// Waits a random while, so that those who met once don't meet again.
async fn retry_pause(conflicts: u32) {
    let longest = RETRY_PAUSE_MAX * 2_u32.pow(conflicts.saturating_sub(1).min(RETRY_DOUBLINGS_MAX));
    let pause = rand::rng().random_range(Duration::ZERO..=longest);
    SystemClock.sleep(pause).await;
}

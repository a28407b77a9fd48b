//! The log in PostgreSQL: loads through postgres-es, appends through `append_events`.
//!
//! Each append is one statement in its own transaction. When its answer is lost with the
//! connection, the very same append is sent again on another one: if the first was committed, the
//! second meets its events and knows them by their command id; if it wasn't, the second writes
//! them; if it is still under way, the second waits for it at the primary key. Nothing is guessed.

mod call;
mod json_text;

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use contracts::{Position, decode};
use cqrs_es::persist::{PersistedEventRepository as _, PersistenceError};
use deadpool_postgres::Pool;
use domain::EventSourced;
use postgres_es::PostgresEventRepository;
use service_kit::clock::{Clock as _, SystemClock};
use service_kit::config::Secret;
use service_kit::pools::{self, PoolSettings};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::append::{Append, Outcome, StoredReceipt};
use crate::error::{AppendError, StoreError};
use crate::metrics::LOST_ANSWERS;
use crate::store::{BoxFuture, Store};

use call::Failure;

/// How long a lost answer is asked for before the outcome is called unknown.
const RESOLVE_WAIT_MAX: Duration = Duration::from_secs(5);
/// Pause between two questions about a lost answer.
const RESOLVE_PAUSE: Duration = Duration::from_millis(50);
/// Longest wait for a free loading connection.
const LOAD_WAIT_MAX: Duration = Duration::from_secs(2);

/// How many connections a store may open, and how long a statement may run.
#[derive(Debug, Clone, Copy)]
pub struct StoreSizes {
    /// Connections for appends.
    pub append_connections: usize,
    /// Connections for loads.
    pub load_connections: u32,
    /// Longest run of one statement, enforced by the server.
    pub statement_timeout: Duration,
}

impl Default for StoreSizes {
    fn default() -> Self {
        Self {
            append_connections: 8,
            load_connections: 6,
            statement_timeout: Duration::from_secs(5),
        }
    }
}

/// The log in PostgreSQL. Clones share their connections.
#[derive(Clone)]
pub struct PgEventStore(Arc<Inner>);

struct Inner {
    appends: Pool,
    repository: PostgresEventRepository,
}

impl std::fmt::Debug for PgEventStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PgEventStore")
    }
}

impl PgEventStore {
    /// A store over the database at `url`. Connects at the first use.
    ///
    /// # Errors
    /// [`StoreError::Settings`] when the URL cannot be read; it is not repeated.
    pub fn open(url: &Secret, sizes: StoreSizes) -> Result<Arc<Self>, StoreError> {
        let settings = PoolSettings {
            size_max: sizes.append_connections,
            statement_timeout: sizes.statement_timeout,
            ..PoolSettings::named("event-store")
        };
        let appends = pools::postgres(url, &settings).map_err(unusable)?;
        let limit = sizes.statement_timeout.as_millis().to_string();
        let connect = PgConnectOptions::from_str(url.expose())
            .map_err(unusable)?
            .application_name("event-store-load")
            .options([("statement_timeout", limit.as_str())]);
        let loads = PgPoolOptions::new()
            .max_connections(sizes.load_connections)
            .acquire_timeout(LOAD_WAIT_MAX)
            .test_before_acquire(false)
            .connect_lazy_with(connect);
        Ok(Self::connect(appends, loads))
    }

    /// A store over pools made elsewhere: one for appends, one for loads.
    pub fn connect(appends: Pool, loads: sqlx::PgPool) -> Arc<Self> {
        let repository = PostgresEventRepository::new(loads);
        Arc::new(Self(Arc::new(Inner { appends, repository })))
    }

    /// The stream that holds the unique name, if one does.
    ///
    /// # Errors
    /// The store is away.
    pub async fn lookup_claim(&self, kind: &str, name: &str) -> Result<Option<Uuid>, StoreError> {
        let rows = call::query(
            &self.0.appends,
            include_str!("postgres/claim_holder.sql"),
            &[&kind, &name],
        )
        .await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let id: String = row.try_get(0).map_err(database)?;
        id.parse().map(Some).map_err(database)
    }

    /// Removes receipts that expired before `now`, at most `limit` of them; returns how many.
    ///
    /// # Errors
    /// The store is away.
    pub async fn forget_receipts(&self, now: DateTime<Utc>, limit: u32) -> Result<u64, StoreError> {
        let client = call::client(&self.0.appends).await?;
        let statement = include_str!("postgres/forget_receipts.sql");
        client.execute(statement, &[&now, &i64::from(limit)]).await.map_err(database)
    }

    pub(crate) fn repository(&self) -> &PostgresEventRepository {
        &self.0.repository
    }

    pub(crate) async fn load<A: EventSourced>(&self, id: Uuid) -> Result<Vec<A::Body>, StoreError> {
        let stream = id.to_string();
        let stored = self.0.repository.get_events::<A>(&stream).await.map_err(unreadable)?;
        let mut bodies = Vec::with_capacity(stored.len());
        for (expected, event) in (1..).zip(stored) {
            if event.sequence != expected {
                let stream = format!("{}/{stream}", A::TYPE);
                return Err(StoreError::Corrupt { stream, what: "its sequence has a hole" });
            }
            bodies.push(decode(&event.event_type, &event.event_version, event.payload)?);
        }
        Ok(bodies)
    }

    pub(crate) async fn append_now(&self, append: &Append) -> Result<Outcome, AppendError> {
        match call::append(&self.0.appends, append).await {
            Ok(outcome) => Ok(outcome),
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::NotSent(error)) => Err(AppendError::Store(error)),
            Err(Failure::Lost(error)) => {
                tracing::warn!(error = %error, "the answer to an append was lost; asking again");
                self.resolve(append).await
            }
        }
    }

    /// Finds out what became of an append whose answer was lost.
    async fn resolve(&self, append: &Append) -> Result<Outcome, AppendError> {
        let started = Instant::now();
        while started.elapsed() < RESOLVE_WAIT_MAX {
            match call::append(&self.0.appends, append).await {
                Ok(Outcome::Replayed(stored)) if stored.command_id == append.command_id => {
                    return Ok(found("committed", Outcome::Written(stored.positions)));
                }
                Ok(outcome) => return Ok(found("rolled_back", outcome)),
                Err(Failure::Refused(AppendError::Conflict)) => {
                    match self.own_positions(append).await {
                        Ok(positions) if positions.len() == append.events.len() => {
                            return Ok(found("committed", Outcome::Written(positions)));
                        }
                        Ok(_) => return Err(found("rolled_back", AppendError::Conflict)),
                        Err(error) => tracing::debug!(error = %error, "still no answer"),
                    }
                }
                Err(Failure::Refused(error)) => return Err(found("rolled_back", error)),
                Err(Failure::NotSent(_) | Failure::Lost(_)) => {}
            }
            SystemClock.sleep(RESOLVE_PAUSE).await;
        }
        Err(found("unknown", AppendError::Store(StoreError::OutcomeUnknown)))
    }

    async fn own_positions(&self, append: &Append) -> Result<Vec<Position>, StoreError> {
        let rows = call::query(
            &self.0.appends,
            include_str!("postgres/own_events.sql"),
            &[
                &append.aggregate_type,
                &append.aggregate_id.to_string(),
                &call::signed(append.expected_version),
                &call::signed(append.version_after()),
                &append.command_id,
            ],
        )
        .await?;
        rows.iter().map(|row| row.try_get(0).map(Position::new).map_err(database)).collect()
    }
}

impl<A: EventSourced> Store<A> for PgEventStore {
    fn history(&self, id: Uuid) -> BoxFuture<'_, Result<Vec<A::Body>, StoreError>> {
        Box::pin(self.load::<A>(id))
    }

    fn append(&self, append: Append) -> BoxFuture<'_, Result<Outcome, AppendError>> {
        Box::pin(async move { self.append_now(&append).await })
    }

    fn receipt<'s>(
        &'s self,
        scope: &'s str,
        key: &'s str,
    ) -> BoxFuture<'s, Result<Option<StoredReceipt>, StoreError>> {
        Box::pin(async move {
            let statement = include_str!("postgres/receipt.sql");
            let rows = call::query(&self.0.appends, statement, &[&scope, &key]).await?;
            rows.first().map(call::stored_receipt).transpose().map_err(database)
        })
    }
}

/// Counts what a lost answer turned out to be.
fn found<T>(outcome: &'static str, answer: T) -> T {
    metrics::counter!(LOST_ANSWERS, "outcome" => outcome).increment(1);
    answer
}

fn unusable(_may_hold_a_password: impl std::error::Error) -> StoreError {
    StoreError::Settings
}

fn database(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Database(Box::new(error))
}

fn unreadable(error: PersistenceError) -> StoreError {
    match error {
        PersistenceError::ConnectionError(source) => StoreError::Unavailable(source),
        error @ (PersistenceError::OptimisticLockError
        | PersistenceError::DeserializationError(_)
        | PersistenceError::UnknownError(_)) => StoreError::Unavailable(Box::new(error)),
    }
}

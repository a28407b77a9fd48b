//! The log in PostgreSQL: loads through postgres-es, appends through `append_events_after`.
//!
//! What is missing from a remembered state comes without the rest of its history (see `tails`).
//! A command that comes alone is one call; commands that come together share one (see `packer`).
//! When an answer is lost with its connection, the outcome is found out, never guessed (`single`).

mod call;
mod json_text;
mod pack_call;
mod packer;
mod single;
mod tails;

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use contracts::{DecodeError, decode};
use cqrs_es::persist::{PersistedEventRepository as _, PersistenceError};
use deadpool_postgres::Pool;
use domain::EventSourced;
use postgres_es::PostgresEventRepository;
use serde::Deserialize as _;
use service_kit::config::Secret;
use service_kit::pools::{self, PoolSettings};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::time::timeout;
use uuid::Uuid;

use crate::append::{Append, EventIdentity, Outcome, StoredReceipt};
use crate::error::{AppendError, StoreError};
use crate::store::{BoxFuture, History, Store};

use packer::Packer;
use single::Single;
use tails::{Tail, Tails};

/// Longest wait for a free loading connection.
const LOAD_WAIT_MAX: Duration = Duration::from_secs(2);

/// Packs under way at once: while one waits for the disk, the other uses the processor. More lanes
/// make smaller packs, and a stalled pack must not be the only one.
const LANES: usize = 2;
/// Commands in one pack at most: half-sized packs halved the throughput of a busy machine, and a
/// pack is one transaction that readers wait for.
const PACK_COMMANDS_MAX: usize = 32;

/// Every statement of the append connections goes by a key, however many rows it brings. Left to
/// itself the planner plans a pack anew for each size of its arrays, and scans what it believes empty.
const KEY_PLANS: &[(&str, &str)] =
    &[("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off")];

/// The view that has an event's identity in the place of its metadata, and a table that isn't used:
/// how a load through postgres-es learns what proves the state later.
const IDENTITY_TABLES: (&str, &str) = ("events_with_identity", "no_snapshots");

/// How many connections a store may open, and how long a statement may run.
#[derive(Debug, Clone, Copy)]
pub struct StoreSizes {
    /// Connections for appends.
    pub append_connections: usize,
    /// How many packs may be under way at once; 0 sends every command by itself.
    pub lanes: usize,
    /// Commands in one pack at most.
    pub pack_commands_max: usize,
    /// Connections for loads.
    pub load_connections: u32,
    /// Longest run of one statement, enforced by the server.
    pub statement_timeout: Duration,
}

impl Default for StoreSizes {
    fn default() -> Self {
        Self {
            append_connections: 8,
            lanes: LANES,
            pack_commands_max: PACK_COMMANDS_MAX,
            load_connections: 6,
            statement_timeout: Duration::from_secs(5),
        }
    }
}

/// The log in PostgreSQL. Clones share their connections.
#[derive(Clone)]
pub struct PgEventStore(Arc<Inner>);

struct Inner {
    single: Single,
    packer: Option<Packer>,
    tails: Tails,
    repository: PostgresEventRepository,
    identities: PostgresEventRepository,
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
        let appends = pools::postgres_tuned(url, &settings, KEY_PLANS).map_err(unusable)?;
        let limit = sizes.statement_timeout.as_millis().to_string();
        let target = pools::database_target(url).map_err(unusable)?;
        let connect = PgConnectOptions::from_str(target.url.expose())
            .map_err(unusable)?
            .application_name("event-store-load")
            .options([("statement_timeout", limit.as_str())]);
        let loads = PgPoolOptions::new()
            .max_connections(sizes.load_connections)
            .acquire_timeout(LOAD_WAIT_MAX)
            .test_before_acquire(false)
            .connect_lazy_with(connect);
        Ok(Self::with_lanes(appends, loads, &sizes))
    }

    /// A store over pools made elsewhere: one for appends, one for loads.
    pub fn connect(appends: Pool, loads: sqlx::PgPool) -> Arc<Self> {
        Self::with_lanes(appends, loads, &StoreSizes::default())
    }

    fn with_lanes(appends: Pool, loads: sqlx::PgPool, sizes: &StoreSizes) -> Arc<Self> {
        let repository = PostgresEventRepository::new(loads.clone());
        let (events, snapshots) = IDENTITY_TABLES;
        let identities = PostgresEventRepository::new(loads).with_tables(events, snapshots);
        let tails = Tails::new(appends.clone());
        let single = Single::new(appends);
        let packer = (sizes.lanes != 0)
            .then(|| Packer::new(single.clone(), sizes.lanes, sizes.pack_commands_max));
        Arc::new(Self(Arc::new(Inner { single, packer, tails, repository, identities })))
    }

    /// The stream that holds the unique name, if one does.
    ///
    /// # Errors
    /// The store is away.
    pub async fn lookup_claim(&self, kind: &str, name: &str) -> Result<Option<Uuid>, StoreError> {
        let rows = call::query(
            self.0.single.pool(),
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

    /// Removes receipts whose time is over by the database's clock, which set it, at most `limit` of
    /// them; returns how many.
    ///
    /// # Errors
    /// The store is away.
    pub async fn forget_receipts(&self, limit: u32) -> Result<u64, StoreError> {
        let client = call::client(self.0.single.pool()).await?;
        let statement = include_str!("postgres/forget_receipts.sql");
        client.execute(statement, &[&i64::from(limit)]).await.map_err(database)
    }

    pub(crate) fn repository(&self) -> &PostgresEventRepository {
        &self.0.repository
    }

    pub(crate) async fn load<A: EventSourced>(
        &self,
        id: Uuid,
    ) -> Result<History<A::Body>, StoreError> {
        let stream = id.to_string();
        // The server's own limit is no use when its answer does not arrive.
        let reading = self.0.identities.get_events::<A>(&stream);
        let stored = timeout(call::ANSWER_WAIT_MAX, reading)
            .await
            .map_err(|elapsed| StoreError::Unavailable(Box::new(elapsed)))?
            .map_err(unreadable)?;
        let last = stored.last().map(|event| EventIdentity::deserialize(&event.metadata));
        let last = last.transpose().map_err(database)?;
        let events = stored.into_iter().map(|event| {
            let sequence = i64::try_from(event.sequence).unwrap_or(i64::MAX);
            (sequence, decode(&event.event_type, &event.event_version, event.payload))
        });
        Ok(History { events: in_sequence::<A>(id, 0, events)?, last })
    }

    async fn load_after<A: EventSourced>(
        &self,
        id: Uuid,
        version: u64,
        last: Option<EventIdentity>,
    ) -> Result<Option<History<A::Body>>, StoreError> {
        let tail = Tail { aggregate_type: A::TYPE, aggregate_id: id, version };
        let mut stored = self.0.tails.read(tail).await?.into_iter();
        if version != 0 {
            let known = stored.next().filter(|event| event.sequence == call::signed(version));
            if known.is_none_or(|event| Some(event.identity) != last) {
                return Ok(None);
            }
        }
        let mut last = last;
        let events = stored.map(|event| {
            last = Some(event.identity);
            let body = event.payload.unwrap_or_default();
            (event.sequence, decode(&event.event_type, &event.event_version, body))
        });
        let events = in_sequence::<A>(id, version, events)?;
        Ok(Some(History { events, last }))
    }

    pub(crate) async fn write(&self, append: Append) -> Result<Outcome, AppendError> {
        // What may wait for another transaction must not keep others waiting.
        let travels_alone = append.events.is_empty() || !append.claims.is_empty();
        match &self.0.packer {
            Some(packer) if !travels_alone => packer.append(append).await,
            Some(_) | None => self.0.single.append(&append).await,
        }
    }
}

impl<A: EventSourced> Store<A> for PgEventStore {
    fn history(&self, id: Uuid) -> BoxFuture<'_, Result<History<A::Body>, StoreError>> {
        Box::pin(self.load::<A>(id))
    }

    fn history_after(
        &self,
        id: Uuid,
        version: u64,
        last: Option<EventIdentity>,
    ) -> BoxFuture<'_, Result<Option<History<A::Body>>, StoreError>> {
        Box::pin(self.load_after::<A>(id, version, last))
    }

    fn append(&self, append: Append) -> BoxFuture<'_, Result<Outcome, AppendError>> {
        Box::pin(self.write(append))
    }

    fn receipt<'s>(
        &'s self,
        scope: &'s str,
        key: &'s str,
    ) -> BoxFuture<'s, Result<Option<StoredReceipt>, StoreError>> {
        Box::pin(async move {
            let statement = include_str!("postgres/receipt.sql");
            let rows = call::query(self.0.single.pool(), statement, &[&scope, &key]).await?;
            rows.first().map(call::stored_receipt).transpose().map_err(database)
        })
    }
}

/// The events after `version`, which must follow on it and on one another.
fn in_sequence<A: EventSourced>(
    id: Uuid,
    version: u64,
    events: impl Iterator<Item = (i64, Result<A::Body, DecodeError>)>,
) -> Result<Vec<A::Body>, StoreError> {
    let first = call::signed(version).saturating_add(1);
    let mut bodies = Vec::with_capacity(events.size_hint().0);
    for (expected, (sequence, body)) in (first..).zip(events) {
        if sequence != expected {
            let stream = format!("{}/{id}", A::TYPE);
            return Err(StoreError::Corrupt { stream, what: "its sequence has a hole" });
        }
        bodies.push(body?);
    }
    Ok(bodies)
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

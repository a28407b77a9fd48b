//! Compares a version's rows with a replay of the log at the same position, row by row.
//!
//! Position, parked events and rows are read from one snapshot, so a projector may go on meanwhile.
//! The replay happens before it, and runs after the projector until hardly anything is left: a
//! snapshot that stays open for long keeps the database from cleaning up.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use contracts::Position;
use deadpool_postgres::{ClientWrapper, GenericClient, Object, Pool, Transaction};

use crate::cell::Row;
use crate::config::ProjectorConfig;
use crate::error::ProjectionError;
use crate::projection::Table;
use crate::replay::Replay;
use crate::tables::tables_of;
use crate::versions::{self, position_of};
use crate::working::{Incoming, Model, Pass, Working};

/// Differing rows that a report shows; all are counted.
pub const DIFFERENCES_SHOWN_MAX: usize = 10;
/// Characters of a value that a report shows.
const VALUE_SHOWN_MAX: usize = 200;
/// Positions that may be left to replay under the open snapshot: one read of the log.
const TAIL_POSITIONS_MAX: i64 = 5_000;
/// How often the replay runs after a projector that goes on. Each run is shorter than the one before
/// if the replay is the quicker of the two; if it is not, the snapshot has to stay open for longer.
const CHASES_MAX: usize = 10;
/// How long the session of the snapshot may lie idle in its transaction while the replay's rows are
/// made. The pools end others after seconds, because somebody may wait for what they lock; this one
/// only reads, so that nobody waits for it but who drops the version's tables.
const SNAPSHOT_IDLE_MAX: &str = "10min";
/// How often a verification begins anew because events were parked or taken up meanwhile.
const ATTEMPTS_MAX: usize = 3;

/// One row that is not as a replay makes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The table, with its version.
    pub table: String,
    /// The primary key, for people.
    pub key: String,
    /// What is different, for people.
    pub found: String,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// The projection.
    pub name: String,
    /// The version that was looked at.
    pub version: i32,
    /// The position at which it was compared.
    pub position: Position,
    /// Rows compared, all tables together.
    pub rows: u64,
    /// Rows that differ, lack or are too many.
    pub differing: u64,
    /// The first of them by table and key, at most [`DIFFERENCES_SHOWN_MAX`].
    pub first: Vec<Difference>,
    /// Events that are parked and therefore in neither side.
    pub parked: u64,
    /// Events that an operator gave up, in neither side either.
    pub given_up: u64,
}

impl VerifyReport {
    /// Whether the rows are exactly what the log says.
    pub const fn is_equal(&self) -> bool {
        self.differing == 0
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, position, rows, differing, parked, given_up, .. } = self;
        if self.is_equal() {
            write!(f, "version {version} equals a replay at position {position}: {rows} rows")?;
        } else {
            write!(
                f,
                "version {version} differs from a replay at position {position}: {differing} rows"
            )?;
        }
        if 0 < *parked {
            write!(f, ", {parked} events parked")?;
        }
        if 0 < *given_up {
            write!(f, ", {given_up} given up and left out")?;
        }
        for Difference { table, key, found } in &self.first {
            write!(f, "\n  {table} [{key}]: {found}")?;
        }
        Ok(())
    }
}

/// Compares the served version of `name` with a replay.
///
/// # Errors
/// [`ProjectionError`]; a difference is none, but a report.
pub async fn verify(config: &ProjectorConfig, name: &str) -> Result<VerifyReport, ProjectionError> {
    verify_version(config, name, None).await
}

/// Compares `version` of `name`, or the served one, with a replay.
///
/// # Errors
/// As [`verify`].
pub async fn verify_version(
    config: &ProjectorConfig,
    name: &str,
    version: Option<i32>,
) -> Result<VerifyReport, ProjectionError> {
    let (model, pool) = (crate::find(name)?, config.patient_pool()?);
    let version = match version {
        Some(version) => version,
        None => versions::live(&pool, model).await?.version,
    };
    for _ in 0..ATTEMPTS_MAX {
        if let Some(report) = (Verification { model, pool: &pool, version }).attempt().await? {
            return Ok(report);
        }
    }
    Err(ProjectionError::Busy { name: name.to_owned() })
}

/// How far a replay got.
struct Replayed {
    through: Position,
    /// The positions up to there that were left out, because they were parked.
    without: HashSet<i64>,
}

struct Verification<'pool> {
    model: &'static dyn Model,
    pool: &'pool Pool,
    version: i32,
}

impl Verification<'_> {
    /// One attempt; `None` when what is parked changed under our hands.
    async fn attempt(&self) -> Result<Option<VerifyReport>, ProjectionError> {
        let mut working = self.model.working(true);
        let replayed = self.chase(working.as_mut()).await?;
        let mut session = self.session().await?;
        let tx = session
            .build_transaction()
            .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        let name = self.model.name();
        let position = tx
            .query_one(
                "select min(position) from projection_shard where name = $1 and version = $2",
                &[&name, &self.version],
            )
            .await?;
        let position = Position::new(position.try_get(0)?);
        let parked_now = parked(&tx, name, self.version).await?;
        let is_within = |it: &&i64| **it <= replayed.through.number();
        let within: HashSet<i64> = parked_now.keys().filter(is_within).copied().collect();
        if within != replayed.without {
            return Ok(None);
        }
        let without = parked_now.keys().copied().collect();
        self.replay(working.as_mut(), (replayed.through, position), without).await?;
        let mut report = self.compare_in_tx(&tx, working.as_ref()).await?;
        report.position = position;
        report.given_up = parked_now.values().filter(|is_given_up| **is_given_up).count() as u64;
        report.parked = parked_now.len() as u64 - report.given_up;
        Ok(Some(report))
    }

    /// Replays up to where the version stands, and again what it went on by meanwhile, until little
    /// is left.
    async fn chase(&self, working: &mut dyn Working) -> Result<Replayed, ProjectionError> {
        let name = self.model.name();
        let mut replayed = Replayed { through: Position::START, without: HashSet::new() };
        let mut reached = position_of(self.pool, name, self.version).await?;
        for _ in 0..CHASES_MAX {
            // After the position: what is parked below it was parked in the same transaction.
            let parked = parked(&self.pool.get().await?, name, self.version).await?;
            let from = replayed.through;
            let parked: HashSet<i64> = parked.into_keys().collect();
            self.replay(working, (from, reached), parked.clone()).await?;
            let is_within = |it: &i64| from.number() < *it && *it <= reached.number();
            replayed.without.extend(parked.into_iter().filter(is_within));
            replayed.through = reached;
            reached = position_of(self.pool, name, self.version).await?;
            if reached.number() - replayed.through.number() <= TAIL_POSITIONS_MAX {
                break;
            }
        }
        Ok(replayed)
    }

    /// A connection for the snapshot alone. It never goes back to the pool, whose patience is another.
    async fn session(&self) -> Result<ClientWrapper, ProjectionError> {
        let session = Object::take(self.pool.get().await?);
        let patience = format!("set idle_in_transaction_session_timeout = '{SNAPSHOT_IDLE_MAX}'");
        session.batch_execute(&patience).await?;
        Ok(session)
    }

    /// Folds a range of the log, without the events that are parked or given up.
    async fn replay(
        &self,
        working: &mut dyn Working,
        range: (Position, Position),
        without: HashSet<i64>,
    ) -> Result<(), ProjectionError> {
        let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut replay = Replay::start(self.pool.clone(), self.model, range, jobs, without);
        let none = HashSet::new();
        while let Some(chunk) = replay.next().await? {
            let Pass::Folded(aside) = working.fold(&chunk.events, &none) else {
                // A complete working set lacks nothing.
                return Err(ProjectionError::Stopped);
            };
            if let Some(first) = aside.first() {
                let first = unfoldable(chunk.events.get(first.index), first.error.as_deref());
                return Err(ProjectionError::Unfoldable { count: aside.len(), first });
            }
        }
        Ok(())
    }

    async fn compare_in_tx(
        &self,
        tx: &Transaction<'_>,
        working: &dyn Working,
    ) -> Result<VerifyReport, ProjectionError> {
        let name = self.model.name();
        let changes =
            working.changes().map_err(|source| ProjectionError::Stored { name, source })?;
        let tables = tables_of(self.model, self.version);
        let mut report = VerifyReport {
            name: name.to_owned(),
            version: self.version,
            position: Position::START,
            rows: 0,
            differing: 0,
            first: Vec::new(),
            parked: 0,
            given_up: 0,
        };
        for ((table, sql), changes) in self.model.tables().iter().zip(&tables).zip(changes) {
            let mut comparison = Comparison::new(table, changes.upserts);
            sql.scan_in_tx(tx, |row| comparison.see(&row)).await?;
            comparison.into_report(&sql.name, &mut report);
        }
        report.first.truncate(DIFFERENCES_SHOWN_MAX);
        Ok(report)
    }
}

fn unfoldable(event: Option<&Incoming>, error: Option<&str>) -> String {
    let Some(event) = event else {
        return String::new();
    };
    let reason = error.unwrap_or("behind another");
    format!("{} at position {}: {reason}", event.event_type, event.position)
}

/// The positions of the events that are parked, and whether each was given up.
async fn parked(
    client: &impl GenericClient,
    name: &str,
    version: i32,
) -> Result<HashMap<i64, bool>, ProjectionError> {
    let rows = client
        .query(
            "select position, given_up_at is not null from parked_event \
             where name = $1 and version = $2",
            &[&name, &version],
        )
        .await?;
    let entry = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
    Ok(rows.iter().map(entry).collect::<Result<_, tokio_postgres::Error>>()?)
}

/// The rows of one table against those that a replay makes.
struct Comparison {
    table: &'static Table,
    expected: HashMap<Row, Row>,
    seen: u64,
    differing: BTreeMap<Row, String>,
}

impl Comparison {
    fn new(table: &'static Table, expected: Vec<Row>) -> Self {
        let expected = expected.into_iter().map(|row| (table.key_of(&row).to_vec(), row)).collect();
        Self { table, expected, seen: 0, differing: BTreeMap::new() }
    }

    fn see(&mut self, found: &Row) {
        self.seen += 1;
        let key = self.table.key_of(found).to_vec();
        let text = match self.expected.remove(&key) {
            Some(expected) if expected == *found => return,
            Some(expected) => self.unequal(&expected, found),
            None => "stored, but a replay makes no such row".to_owned(),
        };
        self.differing.insert(key, text);
    }

    fn unequal(&self, expected: &Row, found: &Row) -> String {
        let mut texts = Vec::new();
        for ((column, _), (expected, found)) in
            self.table.columns.iter().zip(expected.iter().zip(found))
        {
            if expected != found {
                let (found, expected) = (cut(&found.shown()), cut(&expected.shown()));
                texts.push(format!("{column} is {found}, a replay makes {expected}"));
            }
        }
        texts.join("; ")
    }

    fn into_report(mut self, name: &str, report: &mut VerifyReport) {
        for key in self.expected.into_keys() {
            self.differing.insert(key, "missing, a replay makes it".to_owned());
        }
        report.rows += self.seen;
        report.differing += self.differing.len() as u64;
        for (key, found) in self.differing.into_iter().take(DIFFERENCES_SHOWN_MAX) {
            let key = key.iter().map(crate::cell::Cell::shown).collect::<Vec<_>>().join(", ");
            report.first.push(Difference { table: name.to_owned(), key, found });
        }
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= VALUE_SHOWN_MAX {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(VALUE_SHOWN_MAX).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests;

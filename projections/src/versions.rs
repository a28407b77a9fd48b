//! The versions of a projection: which there are, making one, serving another, dropping one.
//!
//! Tables carry their version in their name; queries go through views. Serving another version is
//! one short transaction that replaces the views and the bookkeeping together, so that a reader sees
//! the old rows or the new ones and never neither.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use contracts::Position;
use deadpool_postgres::{GenericClient, Object, Pool, Transaction};
use service_kit::clock::SharedClock;
use tokio_postgres::error::SqlState;

use crate::error::ProjectionError;
use crate::models::MODELS;
use crate::working::Model;

/// First key of the advisory lock that whoever changes versions holds; the second is the name's hash.
const VERSIONS_LOCK: i32 = 0x7072_6f6a;
/// Longest that a switch makes readers wait in line for one attempt.
const SWITCH_LOCK_WAIT: &str = "300ms";
/// How often a switch is tried: readers that hold a view for long pass in between.
const SWITCH_ATTEMPTS_MAX: usize = 40;
/// Pause between two attempts.
const SWITCH_PAUSE: Duration = Duration::from_millis(100);
/// How long one attempt keeps the served version still, so that the new one reaches it: no reader is
/// to miss more than a second of events.
const SWITCH_CATCH_UP_MAX: Duration = Duration::from_millis(900);
/// How often a switch is tried with a version that does not get there in that time.
const SWITCH_CATCH_UPS_MAX: usize = 5;
/// How often the new version is asked meanwhile where it is.
const SWITCH_POLL_PAUSE: Duration = Duration::from_millis(10);

/// What a transaction creates lies in the projector's schema and belongs to its group role, whichever
/// login creates it: the views' rights and those of readers hang on that owner. Everything else names
/// its tables without a schema and finds them there, behind `public`.
const AS_PROJECTOR: &str =
    "set local role pillivery_projector; set local search_path = read_model, public";

/// What is made of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Being filled; no worker follows it.
    Building,
    /// Filled and followed; its checks are not done, so it can't be served.
    Checking,
    /// A check found that it differs from the log. No worker follows it, and it can't be served.
    Refused,
    /// Complete, checked and followed, not served.
    Ready,
    /// Complete, followed and served.
    Live,
    /// Its tables are gone.
    Retired,
}

impl State {
    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Checking => "checking",
            Self::Refused => "refused",
            Self::Ready => "ready",
            Self::Live => "live",
            Self::Retired => "retired",
        }
    }

    fn from_stored(name: &str) -> Self {
        match name {
            "building" => Self::Building,
            "checking" => Self::Checking,
            "refused" => Self::Refused,
            "ready" => Self::Ready,
            "live" => Self::Live,
            _ => Self::Retired,
        }
    }

    /// Whether workers keep it current.
    pub(crate) const fn is_followed(self) -> bool {
        matches!(self, Self::Checking | Self::Ready | Self::Live)
    }

    /// Whether a rebuild left it that was killed, failed, or found it different from the log.
    pub(crate) const fn is_unfinished(self) -> bool {
        matches!(self, Self::Building | Self::Checking | Self::Refused)
    }
}

/// One version of one projection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "named as the column, which operators know")]
pub struct Version {
    /// The projection.
    pub name: String,
    /// Its number, from 1.
    pub version: i32,
    /// The shape of tables and fold it was made by.
    pub shape: i32,
    /// What is made of it.
    pub state: State,
    /// When it was last put behind the views; none when it never was.
    pub served_at: Option<DateTime<Utc>>,
}

/// Every version there ever was, by name and number.
pub(crate) async fn all(client: &impl GenericClient) -> Result<Vec<Version>, ProjectionError> {
    let statement = client.prepare_cached(include_str!("sql/versions.sql")).await?;
    let rows = client.query(&statement, &[]).await?;
    rows.iter()
        .map(|row| {
            let state: String = row.try_get(3)?;
            let state = State::from_stored(&state);
            Ok(Version {
                name: row.try_get(0)?,
                version: row.try_get(1)?,
                shape: row.try_get(2)?,
                state,
                served_at: row.try_get(4)?,
            })
        })
        .collect()
}

/// The versions of one projection.
pub(crate) async fn of(pool: &Pool, model: &dyn Model) -> Result<Vec<Version>, ProjectionError> {
    let mut versions = all(&pool.get().await?).await?;
    versions.retain(|version| version.name == model.name());
    Ok(versions)
}

/// The served version of `model`.
pub(crate) async fn live(pool: &Pool, model: &dyn Model) -> Result<Version, ProjectionError> {
    let found = of(pool, model).await?.into_iter().find(|it| it.state == State::Live);
    found
        .ok_or_else(|| ProjectionError::NoVersion { name: model.name().to_owned(), needed: "live" })
}

/// How far a version is.
pub(crate) async fn position_of(
    pool: &Pool,
    name: &str,
    version: i32,
) -> Result<Position, ProjectionError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(include_str!("sql/position_of.sql")).await?;
    let found = client.query_opt(&statement, &[&name, &version]).await?;
    match found {
        Some(row) => Ok(Position::new(row.try_get(0)?)),
        None => Err(ProjectionError::NoVersion { name: name.to_owned(), needed: "such" }),
    }
}

/// How long the right to change versions is waited for.
const CLAIM_WAIT: &str = "set lock_timeout = '2s'";

/// The right to change the versions of one projection, held until it is dropped.
pub(crate) struct Claim {
    // The lock belongs to this connection, which therefore never goes back to the pool.
    _session: deadpool_postgres::ClientWrapper,
}

impl Claim {
    /// Takes the right, or says that somebody else has it. Waits a moment: whoever had it last may
    /// be gone already, and the server learns of that a little later.
    pub(crate) async fn take(pool: &Pool, name: &str) -> Result<Self, ProjectionError> {
        let session = Object::take(pool.get().await?);
        session.batch_execute(CLAIM_WAIT).await?;
        let lock = "select pg_advisory_lock($1, hashtext($2))";
        match session.execute(lock, &[&VERSIONS_LOCK, &name]).await {
            Ok(_) => Ok(Self { _session: session }),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                Err(ProjectionError::Busy { name: name.to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Makes the tables of a new version, without indexes, to be filled.
pub(crate) async fn create(
    pool: &Pool,
    model: &dyn Model,
    version: i32,
) -> Result<(), ProjectionError> {
    let mut client = pool.get().await?;
    let tx = client.transaction().await?;
    create_in_tx(&tx, model, version, State::Building).await?;
    tx.commit().await?;
    Ok(())
}

async fn create_in_tx(
    tx: &Transaction<'_>,
    model: &dyn Model,
    version: i32,
    state: State,
) -> Result<(), ProjectionError> {
    tx.batch_execute("set local lock_timeout = '5s'").await?;
    tx.batch_execute(AS_PROJECTOR).await?;
    tx.batch_execute(&for_version(model.tables_sql(), version)).await?;
    let name = model.name();
    tx.execute(
        "insert into projection (name, version, shape, state, served_at) \
         values ($1, $2, $3, $4, case when $5 then clock_timestamp() end)",
        &[&name, &version, &model.shape(), &state.as_str(), &(state == State::Live)],
    )
    .await?;
    tx.execute("insert into projection_shard (name, version) values ($1, $2)", &[&name, &version])
        .await?;
    Ok(())
}

/// Moves a version from `before` to `after`.
///
/// # Errors
/// [`ProjectionError::NoVersion`] when it is not in the state `before`.
pub(crate) async fn advance(
    client: &impl GenericClient,
    name: &str,
    version: i32,
    (before, after): (State, State),
) -> Result<(), ProjectionError> {
    let statement = "update projection set state = $4, changed_at = clock_timestamp() \
                     where name = $1 and version = $2 and state = $3";
    let moved =
        client.execute(statement, &[&name, &version, &before.as_str(), &after.as_str()]).await?;
    if moved == 1 {
        return Ok(());
    }
    Err(ProjectionError::NoVersion { name: name.to_owned(), needed: "such unfinished" })
}

/// A statement of a template, for one version.
pub(crate) fn for_version(template: &str, version: i32) -> String {
    template.replace("{v}", &version.to_string())
}

/// Drops the tables of a version that nobody is served from, and everything noted about it.
pub(crate) async fn drop_version(
    pool: &Pool,
    model: &dyn Model,
    version: i32,
) -> Result<(), ProjectionError> {
    let mut client = pool.get().await?;
    let tx = client.transaction().await?;
    tx.batch_execute("set local lock_timeout = '5s'").await?;
    let name = model.name();
    // The row first: a worker that still follows the version ends its batch, or finds no shard.
    tx.execute("delete from projection_shard where name = $1 and version = $2", &[&name, &version])
        .await?;
    tx.execute("delete from parked_event where name = $1 and version = $2", &[&name, &version])
        .await?;
    tx.execute(
        "update projection set state = 'retired', changed_at = clock_timestamp() \
         where name = $1 and version = $2 and state <> 'live'",
        &[&name, &version],
    )
    .await?;
    for table in model.tables() {
        tx.batch_execute(&format!("drop table if exists {}", table.versioned(version))).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Makes what a database lacks: version 1 of a read model that has no version at all, served.
/// Harmless to repeat and to run at once with others; on a migrated database it changes nothing.
///
/// # Errors
/// [`ProjectionError`]; nothing is half made.
pub async fn ensure_tables(pool: &Pool) -> Result<(), ProjectionError> {
    let mut client = pool.get().await?;
    let tx = client.transaction().await?;
    tx.execute("select pg_advisory_xact_lock($1, 0)", &[&VERSIONS_LOCK]).await?;
    let known = all(&tx).await?;
    for model in MODELS {
        if known.iter().any(|version| version.name == model.name()) {
            continue;
        }
        create_in_tx(&tx, model, 1, State::Live).await?;
        tx.batch_execute(&for_version(model.indexes_sql(), 1)).await?;
        serve_in_tx(&tx, model, 1, true).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Points the views of `model` at `version`. `anew` when their columns may differ.
async fn serve_in_tx(
    tx: &Transaction<'_>,
    model: &dyn Model,
    version: i32,
    anew: bool,
) -> Result<(), ProjectionError> {
    tx.batch_execute(AS_PROJECTOR).await?;
    for table in model.tables().iter().filter(|table| table.is_served) {
        let (view, name) = (table.name, table.versioned(version));
        if anew {
            tx.batch_execute(&format!("drop view if exists {view}")).await?;
        }
        tx.batch_execute(&format!("create or replace view {view} as select * from {name}")).await?;
    }
    Ok(())
}

/// Serves `version` instead of the one that is served now, which stays followed. The served one is
/// locked first and the new one gets time to reach it, so that no reader goes back in time, and so that
/// a version which is the slower one under load gets there at all.
///
/// # Errors
/// [`ProjectionError::Behind`] when it does not get there; the views are then as they were.
pub(crate) async fn serve(
    pool: &Pool,
    model: &dyn Model,
    version: i32,
    clock: &SharedClock,
) -> Result<(), ProjectionError> {
    let (begun, mut late) = (Instant::now(), 0);
    for _ in 0..SWITCH_ATTEMPTS_MAX {
        match try_serve(pool, model, version, clock).await {
            Ok(true) => return Ok(()),
            Ok(false) => {
                late += 1;
                if late == SWITCH_CATCH_UPS_MAX {
                    break;
                }
            }
            Err(error) if error.is_lock_timeout() => {
                tracing::info!(projection = model.name(), "readers hold the views; trying again");
            }
            Err(error) => return Err(error),
        }
        clock.sleep(SWITCH_PAUSE).await;
    }
    Err(ProjectionError::Behind { name: model.name().to_owned(), version, waited: begun.elapsed() })
}

/// One attempt; whether it was made, or the version is still behind.
async fn try_serve(
    pool: &Pool,
    model: &dyn Model,
    version: i32,
    clock: &SharedClock,
) -> Result<bool, ProjectionError> {
    let mut client = pool.get().await?;
    let tx = client.transaction().await?;
    tx.batch_execute(&format!("set local lock_timeout = '{SWITCH_LOCK_WAIT}'")).await?;
    let name = model.name();
    let served = tx.query_opt(include_str!("sql/lock_served.sql"), &[&name]).await?;
    if let Some(served) = served {
        let goal = Position::new(served.try_get(0)?);
        if !reaches_in_tx(&tx, name, version, goal, clock).await? {
            return Ok(false);
        }
    }
    let statement = tx.prepare_cached(include_str!("sql/lock_for_switch.sql")).await?;
    let rows = tx.query(&statement, &[&name, &version]).await?;
    let (mut served, mut wanted) = (None, None);
    for row in rows {
        let (number, shape): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
        let position = Position::new(row.try_get(2)?);
        let side = if number == version { &mut wanted } else { &mut served };
        *side = Some((position, shape));
    }
    let Some((reached, shape)) = wanted else {
        return Err(ProjectionError::NoVersion { name: name.to_owned(), needed: "complete" });
    };
    if served.is_some_and(|(position, _)| reached < position) {
        return Ok(false);
    }
    let is_other_shape = served.is_none_or(|(_, served)| served != shape);
    serve_in_tx(&tx, model, version, is_other_shape).await?;
    // In two statements: the index on `live` is checked row by row.
    tx.execute(
        "update projection set state = 'ready', changed_at = clock_timestamp() \
         where name = $1 and state = 'live' and version <> $2",
        &[&name, &version],
    )
    .await?;
    tx.execute(
        "update projection \
         set state = 'live', changed_at = clock_timestamp(), served_at = clock_timestamp() \
         where name = $1 and version = $2",
        &[&name, &version],
    )
    .await?;
    tx.commit().await?;
    Ok(true)
}

/// Waits until `version` is at `goal`; whether it got there within [`SWITCH_CATCH_UP_MAX`].
async fn reaches_in_tx(
    tx: &Transaction<'_>,
    name: &str,
    version: i32,
    goal: Position,
    clock: &SharedClock,
) -> Result<bool, ProjectionError> {
    let begun = Instant::now();
    let statement = tx.prepare_cached(include_str!("sql/position_of.sql")).await?;
    loop {
        // Each statement has a snapshot of its own, so it sees what was committed meanwhile.
        let Some(row) = tx.query_opt(&statement, &[&name, &version]).await? else {
            return Err(ProjectionError::NoVersion { name: name.to_owned(), needed: "complete" });
        };
        if goal <= Position::new(row.try_get(0)?) {
            return Ok(true);
        }
        if SWITCH_CATCH_UP_MAX <= begun.elapsed() {
            return Ok(false);
        }
        clock.sleep(SWITCH_POLL_PAUSE).await;
    }
}

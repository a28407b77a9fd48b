//! Brings the database to the schema this build expects.
//!
//! The history in `schema/migrations` is embedded at compile time and goes forward only. Each
//! migration is one transaction; whoever migrates holds an advisory lock, so that processes that
//! start together migrate once. A database that knows a migration this build doesn't, or knows
//! another text of one, is an error and is left alone.

use std::time::Duration;

use service_kit::config::Secret;
use service_kit::pools::{DatabaseTarget, DatabaseUrlError, database_target};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// Whoever migrates holds this advisory lock. Any number does; it must be the same everywhere.
const MIGRATION_LOCK: i64 = 0x7069_6c6c_6d69_6772;
/// Acts as the role that owns what migrations make, so that a superuser or another member of it owns
/// nothing itself. A database from before that role stays with its owner until V017 hands it over.
const BECOME_OWNER: &str = include_str!("become_owner.sql");
/// Longest wait for another migrator to finish.
const LOCK_WAIT_MAX: Duration = Duration::from_mins(2);
/// Longest wait for the database to accept a connection.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);

/// What [`up`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The migrations applied now, oldest first, as `V001__event_log`.
    pub applied: Vec<String>,
}

/// Where a database stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Applied earlier, oldest first.
    pub applied: Vec<String>,
    /// Embedded in this build and not applied yet, oldest first.
    pub pending: Vec<String>,
}

/// Why the schema could not be brought up to date or looked at.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The URL cannot be used; it is not repeated.
    #[error("read the database URL")]
    Url(#[from] DatabaseUrlError),
    /// The database is away or refuses us; the URL is not repeated.
    #[error("connect to the database")]
    Connect(#[source] tokio_postgres::Error),
    /// Nothing answered within the time allowed for connecting.
    #[error("connect to the database in time")]
    ConnectTimeout,
    /// Another migrator held the lock for too long.
    #[error("take the migration lock")]
    Lock(#[source] tokio_postgres::Error),
    /// The session could not act as the owner of the schema.
    #[error("act as the owner of the schema")]
    Role(#[source] tokio_postgres::Error),
    /// The history could not be read.
    #[error("read the migration history")]
    History(#[source] tokio_postgres::Error),
    /// A migration failed, or the database has a history that this build doesn't know.
    #[error("apply the migrations")]
    Apply(#[from] refinery::Error),
}

/// Applies every migration that the database at `database_url` lacks.
///
/// # Errors
/// [`MigrateError`]; migrations applied before the failing one stay applied.
pub async fn up(database_url: &str) -> Result<Report, MigrateError> {
    let session = Session::open(database_url).await?;
    let Session { mut client, connection } = session;
    let wait = format!("set lock_timeout = {}", LOCK_WAIT_MAX.as_millis());
    client.batch_execute(&wait).await.map_err(MigrateError::Lock)?;
    // A session's lock: it ends with the connection, whatever happens to this process.
    client
        .execute("select pg_advisory_lock($1)", &[&MIGRATION_LOCK])
        .await
        .map_err(MigrateError::Lock)?;
    client.batch_execute(BECOME_OWNER).await.map_err(MigrateError::Role)?;
    let report = embedded::migrations::runner().run_async(&mut client).await?;
    let applied: Vec<String> =
        report.applied_migrations().iter().map(ToString::to_string).collect();
    drop(client);
    finish(connection).await;
    tracing::info!(applied = ?applied, "the schema is up to date");
    Ok(Report { applied })
}

/// Compares the database at `database_url` with this build. Changes nothing.
///
/// # Errors
/// [`MigrateError`] when the database cannot be read.
pub async fn status(database_url: &str) -> Result<Status, MigrateError> {
    let Session { client, connection } = Session::open(database_url).await?;
    let known = client
        .query_one("select to_regclass('refinery_schema_history') is not null", &[])
        .await
        .map_err(MigrateError::History)?
        .get::<_, bool>(0);
    let applied = if known {
        client
            .query("select version, name from refinery_schema_history order by version", &[])
            .await
            .map_err(MigrateError::History)?
            .iter()
            .map(|row| (row.get::<_, i32>(0), row.get::<_, String>(1)))
            .collect()
    } else {
        Vec::new()
    };
    drop(client);
    finish(connection).await;
    let runner = embedded::migrations::runner();
    let mut embedded: Vec<_> = runner.get_migrations().iter().collect();
    embedded.sort_by_key(|migration| migration.version());
    let pending = embedded
        .into_iter()
        .filter(|migration| applied.iter().all(|(version, _)| *version != migration.version()))
        .map(ToString::to_string)
        .collect();
    let applied = applied.iter().map(|(version, name)| format!("V{version}__{name}")).collect();
    Ok(Status { applied, pending })
}

struct Session {
    client: Client,
    connection: JoinHandle<()>,
}

impl Session {
    async fn open(database_url: &str) -> Result<Self, MigrateError> {
        let DatabaseTarget { config, tls, .. } = database_target(&Secret::from(database_url))?;
        let connecting = config.connect(tls);
        let Ok(connected) = tokio::time::timeout(CONNECT_WAIT_MAX, connecting).await else {
            return Err(MigrateError::ConnectTimeout);
        };
        let (client, connection) = connected.map_err(MigrateError::Connect)?;
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(error = %error, "the migration connection broke");
            }
        });
        Ok(Self { client, connection })
    }
}

/// Waits until the connection is closed and its lock given back.
async fn finish(connection: JoinHandle<()>) {
    if connection.await.is_err() {
        tracing::warn!("the migration connection did not close cleanly");
    }
}

//! What the projector and its commands can be told, and by which variable.

use std::net::SocketAddr;
use std::time::Duration;

use deadpool_postgres::Pool;
use service_kit::config::{ConfigError, Secret, Settings, Shape, Table, Variable, shared};
use service_kit::pools::{PoolError, PoolSettings, postgres_tuned};
use service_kit::telemetry::{LogFilter, LogFormat};

/// Events of one batch when nothing else is asked for. A batch of this size takes about 50 ms;
/// smaller ones follow when it takes longer.
const BATCH_EVENTS_DEFAULT: u64 = 500;
/// Database connections when nothing else is asked for: two for each of six projections, one for
/// the watcher of the log, one to spare.
const CONNECTIONS_DEFAULT: u64 = 14;
/// Longest statement of a live batch. A rebuild's own statements (indexes) have no limit.
const STATEMENT_WAIT_MAX: Duration = Duration::from_secs(30);
/// How PostgreSQL is to plan for us. Where a log was never analysed, as after an import, collecting and
/// sorting the whole span that a read may walk looks cheaper than walking the index until the batch
/// is full: 50 ms instead of 1. A sort that cannot be avoided still happens.
const TUNING: [(&str, &str); 1] = [("enable_sort", "off")];
/// Longest wait for a connection.
const CONNECTION_WAIT_MAX: Duration = Duration::from_secs(5);

/// Every variable of `projector`.
pub const VARIABLES: Table = &[
    shared::DATABASE_URL,
    shared::DATABASE_PLAINTEXT,
    shared::REDIS_URL,
    shared::REDIS_PLAINTEXT,
    Variable::with(
        "PROJECTOR_OPS_LISTEN",
        Shape::Address,
        "127.0.0.1:9082",
        "Health, metrics and version while it runs.",
    ),
    Variable::number(
        "PROJECTOR_BATCH_EVENTS_MAX",
        BATCH_EVENTS_DEFAULT,
        1..=20_000,
        "Events folded per transaction.",
    ),
    Variable::number(
        "PROJECTOR_DATABASE_CONNECTIONS",
        CONNECTIONS_DEFAULT,
        3..=100,
        "Most database connections at once.",
    ),
    shared::LOG_FORMAT,
    shared::LOG_FILTER,
];

/// Everything `projector` reads from its environment, and nothing else.
#[derive(Debug, Clone)]
pub struct ProjectorConfig {
    /// `DATABASE_URL`: the one PostgreSQL that both the log and the read models live in.
    pub database_url: Secret,
    /// Set by `ops/run` alone, for a database with one login for everything: the process may log in
    /// as the owner of the log. No variable, so that no production does.
    pub may_own_database: bool,
    /// `REDIS_URL`: where the keys of changed rows are told to caches; nobody is told when unset.
    pub redis_url: Option<Secret>,
    /// `PROJECTOR_OPS_LISTEN`: health, metrics, version; `127.0.0.1:9082` when unset. `None` for a
    /// process that answers for the projector elsewhere.
    pub ops_listen: Option<SocketAddr>,
    /// `PROJECTOR_BATCH_EVENTS_MAX`: events folded per transaction, 1 to 20,000; 500 when unset.
    pub batch_events_max: u32,
    /// `PROJECTOR_DATABASE_CONNECTIONS`: most connections at once, 3 to 100; 14 when unset.
    pub database_connections_max: usize,
    /// `LOG_FORMAT`: `json` or `text`; `json` when unset. Used by the binary alone.
    pub log_format: LogFormat,
    /// `LOG_FILTER`: levels that replace the defaults, as in `info,projections=debug`; `info` when unset.
    pub log_filter: LogFilter,
}

impl ProjectorConfig {
    /// Reads the configuration through `lookup`.
    ///
    /// # Errors
    /// Names every variable that is missing or cannot be used, without its value.
    pub fn load(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let settings = Settings::of(VARIABLES, lookup)?;
        Ok(Self {
            database_url: settings.database_url("DATABASE_URL")?,
            may_own_database: false,
            redis_url: settings.optional_secret("REDIS_URL"),
            ops_listen: Some(settings.value("PROJECTOR_OPS_LISTEN")?),
            batch_events_max: settings.value("PROJECTOR_BATCH_EVENTS_MAX")?,
            database_connections_max: settings.value("PROJECTOR_DATABASE_CONNECTIONS")?,
            log_format: settings.value("LOG_FORMAT")?,
            log_filter: settings.optional_value("LOG_FILTER")?.unwrap_or_default(),
        })
    }

    /// Connections for live batches and questions.
    pub(crate) fn pool(&self) -> Result<Pool, PoolError> {
        self.pool_with("projector", STATEMENT_WAIT_MAX)
    }

    /// Connections for commands that may take their time: no limit on a statement.
    pub(crate) fn patient_pool(&self) -> Result<Pool, PoolError> {
        self.pool_with("projector-command", Duration::ZERO)
    }

    fn pool_with(
        &self,
        application_name: &'static str,
        statement_timeout: Duration,
    ) -> Result<Pool, PoolError> {
        let settings = PoolSettings {
            application_name,
            size_max: self.database_connections_max,
            wait_max: CONNECTION_WAIT_MAX,
            statement_timeout,
        };
        postgres_tuned(&self.database_url, &settings, &TUNING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_enough() {
        let url = "postgres://shop:hunter2@db/shop";
        let config = ProjectorConfig::load(|name| (name == "DATABASE_URL").then(|| url.to_owned()));
        let config = config.unwrap();
        assert_eq!(u64::from(config.batch_events_max), BATCH_EVENTS_DEFAULT);
        assert_eq!(config.ops_listen, Some("127.0.0.1:9082".parse().unwrap()));
        assert!(config.redis_url.is_none());
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_missing_database_is_named() {
        let error = ProjectorConfig::load(|_| None).unwrap_err();
        assert_eq!(error.to_string(), "DATABASE_URL is not set");
    }
}

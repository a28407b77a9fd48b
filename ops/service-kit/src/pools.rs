//! Connections to PostgreSQL and Redis, with a bound on every wait.
//!
//! Neither connects when it is made: a process starts while a database is away, says so in
//! `/health/ready`, and recovers without a restart. An absent Redis is an error at each call, never
//! a hang: nothing that must be right depends on it. The way to another machine is encrypted
//! ([`DatabaseTarget`], `rediss://`).

mod target;

pub use target::{DatabaseTarget, DatabaseUrlError, database_target};
pub(crate) use target::{in_plain_text, is_loopback};

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Status, Timeouts, WeakPool,
};
use redis::aio::{ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::{Client, Cmd, ConnectionAddr, FromRedisValue, Pipeline};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::config::Secret;

/// Longest wait for a new connection to PostgreSQL or Redis.
pub const CONNECT_WAIT_MAX: Duration = Duration::from_secs(2);
/// Longest wait for one Redis call, connecting included. Redis answers in under a millisecond or
/// is in trouble.
pub const REDIS_CALL_WAIT_MAX: Duration = Duration::from_secs(1);
/// A connection without a sign of life for this long is given up by the operating system, and by
/// the server when it holds a transaction open: what a stopped process has locked others need.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// PostgreSQL compiles a statement whose estimated cost is high, which takes 100 ms and more. Ours
/// touch few rows; where an estimate is high it is wrong (a table that was never analysed, a
/// discouraged sort), and the compilation would be paid again with every run.
const COMPILATION: &str = "jit=off";

/// Where names without a schema are looked for. The database says the same (V017), but a dump does
/// not bring a database's settings along.
const SEARCH_PATH: &str = "search_path=public,read_model";

/// How one process uses PostgreSQL.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// Shown in `pg_stat_activity`.
    pub application_name: &'static str,
    /// Most connections open at once.
    pub size_max: usize,
    /// Longest wait for a free connection.
    pub wait_max: Duration,
    /// Longest run of one statement, enforced by the server.
    pub statement_timeout: Duration,
}

impl PoolSettings {
    /// Eight connections, two seconds to wait for one, five seconds a statement.
    pub fn named(application_name: &'static str) -> Self {
        Self {
            application_name,
            size_max: 8,
            wait_max: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
        }
    }
}

/// Why there is no pool.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The PostgreSQL URL cannot be read; the URL itself is not repeated.
    #[error("DATABASE_URL: cannot be used")]
    PostgresUrl(#[from] DatabaseUrlError),
    /// The pool cannot be made with these settings.
    #[error("make the database pool")]
    Build(#[source] deadpool_postgres::BuildError),
    /// The Redis URL cannot be read; the URL itself is not repeated.
    #[error("REDIS_URL: expected redis://host:port")]
    RedisUrl,
}

/// A pool for the database at `url`. Connects at the first use.
///
/// # Errors
/// The URL cannot be read.
pub fn postgres(url: &Secret, settings: &PoolSettings) -> Result<Pool, PoolError> {
    postgres_tuned(url, settings, &[])
}

/// As [`postgres`], with server settings of one's own for every connection, as (name, value).
///
/// # Errors
/// The URL cannot be read.
pub fn postgres_tuned(
    url: &Secret,
    settings: &PoolSettings,
    tuning: &[(&'static str, &'static str)],
) -> Result<Pool, PoolError> {
    let DatabaseTarget { mut config, tls, .. } = database_target(url)?;
    let limit = settings.statement_timeout.as_millis();
    let given = config.get_options().unwrap_or_default();
    // The kernel of a process that stands still goes on answering, so the server would never know.
    let silence = SILENCE_MAX.as_millis();
    let mut options = format!(
        "{given} -c statement_timeout={limit} -c idle_in_transaction_session_timeout={silence} \
         -c {COMPILATION} -c {SEARCH_PATH}"
    );
    for (name, value) in tuning {
        options.extend([" -c ", name, "=", value]);
    }
    config
        .application_name(settings.application_name)
        .options(options.trim_start())
        .connect_timeout(CONNECT_WAIT_MAX)
        .keepalives_idle(SILENCE_MAX)
        .tcp_user_timeout(SILENCE_MAX);
    // `Fast` trusts a connection that is not known to be closed: one round trip less per use.
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let pool = Pool::builder(Manager::from_config(config, tls, recycling))
        .max_size(settings.size_max)
        .timeouts(Timeouts {
            wait: Some(settings.wait_max),
            create: Some(CONNECT_WAIT_MAX),
            recycle: Some(CONNECT_WAIT_MAX),
        })
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(PoolError::Build)?;
    known_pools().push((settings.application_name, pool.weak()));
    Ok(pool)
}

/// Every pool that is in use, by name, for metrics. Weak, because a pool ends with its last user.
static POOLS: Mutex<Vec<(&'static str, WeakPool)>> = Mutex::new(Vec::new());

fn known_pools() -> MutexGuard<'static, Vec<(&'static str, WeakPool)>> {
    POOLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the pools of this process stand, by name; pools of one name are added up.
pub(crate) fn statuses() -> BTreeMap<&'static str, Status> {
    let mut statuses: BTreeMap<&'static str, Status> = BTreeMap::new();
    known_pools().retain(|&(name, ref pool)| {
        let Some(pool) = pool.upgrade() else { return false };
        let status = pool.status();
        statuses
            .entry(name)
            .and_modify(|sum| {
                sum.max_size += status.max_size;
                sum.size += status.size;
                sum.available += status.available;
                sum.waiting += status.waiting;
            })
            .or_insert(status);
        true
    });
    statuses
}

/// Why a Redis call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// Redis did not answer within [`REDIS_CALL_WAIT_MAX`].
    #[error("redis did not answer in time")]
    Timeout,
    /// Redis is away or refused the call.
    #[error("call redis")]
    Call(#[from] redis::RedisError),
}

/// Redis, connected at the first use and again after a loss. Clones share the connection.
#[derive(Clone)]
pub struct RedisHandle(Arc<RedisInner>);

struct RedisInner {
    client: Client,
    manager: OnceCell<ConnectionManager>,
}

/// A handle for the Redis at `url`. Connects at the first use.
///
/// # Errors
/// The URL cannot be read.
pub fn redis(url: &Secret) -> Result<RedisHandle, PoolError> {
    // For `rediss://`; another one that is installed already is as good.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    // The library's own error may repeat the URL and with it a password.
    let client = Client::open(url.expose()).map_err(|_may_hold_a_password| PoolError::RedisUrl)?;
    Ok(RedisHandle(Arc::new(RedisInner { client, manager: OnceCell::new() })))
}

impl RedisHandle {
    /// Whether what is sent can be read and changed between two machines.
    pub(crate) fn is_exposed(&self) -> bool {
        let ConnectionAddr::Tcp(host, _port) = self.0.client.get_connection_info().addr() else {
            return false;
        };
        !is_loopback(host)
    }

    /// Runs one command.
    ///
    /// # Errors
    /// Redis is away, slow, or refuses the command, or the answer is no `T`.
    pub async fn query<T: FromRedisValue + Send>(&self, command: &Cmd) -> Result<T, RedisError> {
        self.run(|mut connection| async move { command.query_async(&mut connection).await }).await
    }

    /// Runs several commands in one round trip.
    ///
    /// # Errors
    /// Redis is away, slow, or refuses a command, or the answer is no `T`.
    pub async fn pipeline<T: FromRedisValue + Send>(
        &self,
        commands: &Pipeline,
    ) -> Result<T, RedisError> {
        self.run(|mut connection| async move { commands.query_async(&mut connection).await }).await
    }

    /// Runs anything over a connection (a script, several calls) within [`REDIS_CALL_WAIT_MAX`].
    ///
    /// # Errors
    /// Redis is away or slow, or `work` fails.
    pub async fn run<T, F, Fut>(&self, work: F) -> Result<T, RedisError>
    where
        F: FnOnce(ConnectionManager) -> Fut,
        Fut: Future<Output = redis::RedisResult<T>>,
    {
        let call = async { Ok(work(self.connection().await?).await?) };
        timeout(REDIS_CALL_WAIT_MAX, call).await.unwrap_or(Err(RedisError::Timeout))
    }

    /// A connection of its own for subscriptions. When it ends, ask for another one.
    ///
    /// # Errors
    /// Redis is away or slow.
    pub async fn subscriptions(&self) -> Result<PubSub, RedisError> {
        let connect = self.0.client.get_async_pubsub();
        match timeout(CONNECT_WAIT_MAX, connect).await {
            Ok(connected) => Ok(connected?),
            Err(_elapsed) => Err(RedisError::Timeout),
        }
    }

    async fn connection(&self) -> Result<ConnectionManager, RedisError> {
        let inner = &self.0;
        let manager = inner.manager.get_or_try_init(|| async {
            // One attempt a call: the next call is the retry.
            let config = ConnectionManagerConfig::new()
                .set_number_of_retries(0)
                .set_connection_timeout(Some(REDIS_CALL_WAIT_MAX))
                .set_response_timeout(Some(REDIS_CALL_WAIT_MAX));
            ConnectionManager::new_lazy_with_config(inner.client.clone(), config)
        });
        Ok(manager.await?.clone())
    }
}

impl fmt::Debug for RedisHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisHandle")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_url_is_an_error_that_does_not_repeat_it() {
        let url = Secret::from("postgres://shop:hunter2@host:notaport/shop");
        let error = postgres(&url, &PoolSettings::named("test")).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");

        let error = redis(&Secret::from("nonsense://:hunter2@host")).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }

    #[test]
    fn a_wrong_url_is_named_by_its_variable() {
        let wrong = Secret::from("foo");
        let error = postgres(&wrong, &PoolSettings::named("test")).unwrap_err();
        assert!(error.to_string().starts_with("DATABASE_URL: "), "{error}");
        let error = redis(&wrong).unwrap_err();
        assert!(error.to_string().starts_with("REDIS_URL: "), "{error}");
    }

    #[test]
    fn pools_are_counted_until_their_last_user_is_gone() {
        let url = Secret::from("postgres://nobody@127.0.0.1:1/nothing");
        let settings = PoolSettings { size_max: 3, ..PoolSettings::named("counted") };
        let pools = [&settings, &settings].map(|it| postgres(&url, it).unwrap());
        assert_eq!(statuses()["counted"].max_size, 6);
        drop(pools);
        assert!(!statuses().contains_key("counted"));
    }

    #[test]
    fn making_a_pool_needs_no_database() {
        let url = Secret::from("postgres://nobody@127.0.0.1:1/nothing");
        let pool = postgres(&url, &PoolSettings::named("test")).unwrap();
        assert_eq!(pool.status().max_size, 8);
    }

    #[tokio::test]
    async fn an_absent_redis_is_an_error() {
        let handle = redis(&Secret::from("redis://127.0.0.1:1")).unwrap();
        assert!(handle.query::<()>(&redis::cmd("PING")).await.is_err());
        assert!(handle.subscriptions().await.is_err());
    }
}

//! Everything around the processes: PostgreSQL, Redis, the simulated KakaoPay, settings, items.

use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Instant;

use deadpool_postgres::Pool;
use kakaopay_sim::{SimConfig, SimHandle, Simulator};
use projections::ProjectorConfig;
use service_kit::config::Secret;
use service_kit::pools::{self, PoolSettings};
use service_kit::tokens::public_key_of;
use service_kit::vault::{MasterKey, Vault};
use tempfile::TempDir;
use testkit::{ChaosProxy, Durability, Login, Logins, PrivatePostgres, PrivateRedis, free_port};
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls};

use crate::catalogue::{OnSale, register_items};
use crate::clock::RunClock;
use crate::fleet::{Fleet, Own};
use crate::role::{LOG_FILTER, Role};
use crate::schedule::Dependency;
use crate::wiretap::Wiretap;
use crate::{Arguments, Failure};

/// What may never be written down, and is searched for afterwards.
const KAKAOPAY_KEY: &str = "CHAOS-kakaopay-secret-key-5f1c";
/// 32 bytes in base64, for checkout-api alone.
const ACCESS_TOKEN_SIGNING_KEY: &str = "Q0hBT1MtdG9rZW4ta2V5LTMyLWJ5dGVzLWxvbmchISE=";
const DIGEST_PEPPER: &str = "CHAOS-digest-pepper-with-32-bytes-or-more-";
const RETURN_URL_KEY: &str = "CHAOS-return-url-key-with-32-bytes-or-more";
/// 32 bytes in base64.
const MASTER_KEY: &str = "Q0hBT1MtbWFzdGVyLWtleS0zMi1ieXRlcy1sb25nISE=";

/// The settings that are shorter here than in a shop, so that a run takes minutes: a lost call is
/// given up after two seconds, a dead worker's rows are free after three.
const SHORTENED: [(&str, &str); 4] = [
    ("KAKAOPAY_CONNECT_TIMEOUT_MS", "1000"),
    ("KAKAOPAY_CALL_TIMEOUT_MS", "2000"),
    ("RELAY_LEASE_MS", "3000"),
    ("PAYMENT_WAIT_SECONDS", "5"),
];

/// Shoppers repeat what a kill took, faster than people do. Each has an address of its own, which the
/// wire between it and the shop reports as a proxy would; the limits of addresses stay a shop's.
const RAISED: [(&str, &str); 4] = [
    ("TRUSTED_PROXIES", "127.0.0.0/8"),
    ("EDITS_PER_SECOND", "1000"),
    ("ORDERS_PER_MINUTE", "1000"),
    ("PAYMENTS_PER_HOUR", "1000"),
];

/// A moment at which what a process held in memory may be gone for good, or could not be stored.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Interruption {
    /// A worker ended at this moment.
    WorkerKilled(Instant),
    /// A worker stood still between these two, and whatever reached it waited.
    WorkerFrozen(Instant, Instant),
    /// The database was unavailable between these two.
    DatabaseAway(Instant, Instant),
}

/// Between the processes and what they depend on.
struct Proxies {
    postgres: Mutex<ChaosProxy>,
    redis: Mutex<ChaosProxy>,
    gateway: Mutex<ChaosProxy>,
}

/// The surroundings of one run.
pub(crate) struct World {
    /// The database; locked while it is being restarted.
    pub(crate) postgres: Mutex<PrivatePostgres>,
    /// The simulated KakaoPay.
    pub(crate) kakaopay: SimHandle,
    /// The processes.
    pub(crate) fleet: Arc<Fleet>,
    /// Where shoppers send commands.
    pub(crate) checkout: String,
    /// Where shoppers look.
    pub(crate) storefront: String,
    /// What is on sale.
    pub(crate) items: Vec<OnSale>,
    /// Where the log lies, as superuser: for the audit.
    pub(crate) database_url: String,
    /// How the processes log in there.
    logins: Logins,
    /// Where the processes' output lies.
    pub(crate) logs: PathBuf,
    /// The clock of the processes, the simulator and the rows.
    pub(crate) clock: RunClock,
    /// Reads along what the gateway answers the workers.
    pub(crate) wiretap: Wiretap,
    /// When a worker was killed, or a database with what its clients held.
    pub(crate) interruptions: StdMutex<Vec<Interruption>>,
    /// The operators' addresses of the workers.
    pub(crate) workers: [String; 2],
    proxies: Proxies,
    settings: Vec<(String, String)>,
    redis: PrivateRedis,
    /// Removed with this value, unless the run's folder is kept.
    _folder: Option<TempDir>,
}

impl World {
    /// Starts everything; when this returns the processes are on their way up.
    pub(crate) async fn start(arguments: &Arguments) -> Result<Self, Failure> {
        let folder = if arguments.keep.is_some() { None } else { Some(tempfile::tempdir()?) };
        let temporary = folder.as_ref().map(|folder| folder.path().to_owned());
        let path = arguments.keep.clone().or(temporary).unwrap_or_default();
        let logs = path.join("logs");
        std::fs::create_dir_all(&logs)?;
        let postgres = PrivatePostgres::start(&path, 0, Durability::Durable).await?;
        let redis = PrivateRedis::start(&path, 0).await?;
        let logins = postgres.logins().await?;
        let database_url = postgres.database("pillivery").await?;
        migrator::up(&database_url).await?;
        let config = SimConfig {
            secret_key: Some(Secret::new(KAKAOPAY_KEY)),
            seed: Some(arguments.seed),
            ..SimConfig::default()
        };
        let kakaopay = Simulator::start(config).await?;
        let (checkout, storefront) = (free_port(), free_port());
        let (postgres_proxy, database_through) = ChaosProxy::before(&database_url).await;
        let (redis_proxy, redis_through) = ChaosProxy::before(&redis.url()).await;
        let gateway_proxy = ChaosProxy::start(kakaopay.address()).await;
        let wiretap = Wiretap::start(gateway_proxy.address()).await?;
        let clock = RunClock::in_folder(&path);
        let workers = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        let mut settings = settings(&redis_through, &wiretap.url())?;
        settings.extend(clock.settings());
        let listen = |port: u16| format!("127.0.0.1:{port}");
        for (name, port) in [
            ("CHECKOUT_LISTEN", checkout),
            ("CHECKOUT_ADMIN_LISTEN", free_port()),
            ("CHECKOUT_OPS_LISTEN", free_port()),
            ("STOREFRONT_LISTEN", storefront),
            ("STOREFRONT_OPS_LISTEN", free_port()),
            ("PROJECTOR_OPS_LISTEN", free_port()),
        ] {
            settings.push((name.to_owned(), listen(port)));
        }
        let http = |port| format!("http://{}", listen(port));
        settings.push(("PUBLIC_BASE_URL".to_owned(), http(checkout)));
        if let Some(filter) = &arguments.log_filter {
            settings.push((LOG_FILTER.to_owned(), filter.clone()));
        }
        lay_read_models(&logins.url(Login::Projector, &database_url)).await?;
        let items = register_items(&logins.url(Login::Writer, &database_url)).await?;
        let own = own_settings(&workers, &logins, &database_through);
        let fleet = Arc::new(Fleet::start(settings.clone(), own, &logs)?);
        Ok(Self {
            postgres: Mutex::new(postgres),
            kakaopay,
            fleet,
            checkout: http(checkout),
            storefront: http(storefront),
            items,
            database_url,
            logins,
            logs,
            clock,
            wiretap,
            interruptions: StdMutex::default(),
            workers,
            proxies: Proxies {
                postgres: Mutex::new(postgres_proxy),
                redis: Mutex::new(redis_proxy),
                gateway: Mutex::new(gateway_proxy),
            },
            settings,
            redis,
            _folder: folder,
        })
    }

    /// A connection of its own to the database.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        let (client, connection) = tokio_postgres::connect(&self.database_url, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Makes a dependency unavailable, or available again. The database and Redis hang: their
    /// clients notice by their own time-outs alone. Calls to the gateway are refused.
    pub(crate) async fn reach(&self, what: Dependency, is_reachable: bool) {
        let proxy = match what {
            Dependency::Postgres => &self.proxies.postgres,
            Dependency::Redis => &self.proxies.redis,
            Dependency::Gateway => &self.proxies.gateway,
        };
        let mut proxy = proxy.lock().await;
        match (what, is_reachable) {
            (_, true) => proxy.pass().await,
            (Dependency::Gateway, false) => proxy.refuse().await,
            (Dependency::Postgres | Dependency::Redis, false) => proxy.hang().await,
        }
    }

    /// What lines cost by the catalogue, in won.
    pub(crate) fn total_of(&self, lines: &[(usize, u32)]) -> i64 {
        let price = |item: usize| self.items.get(item).map_or(0, |item| item.price);
        lines.iter().map(|(item, quantity)| price(*item) * i64::from(*quantity)).sum()
    }

    /// A few connections of the audit's own.
    pub(crate) fn pool(&self) -> Result<Pool, Failure> {
        let settings = PoolSettings { size_max: 2, ..PoolSettings::named("chaos-audit") };
        Ok(pools::postgres(&Secret::new(self.database_url.clone()), &settings)?)
    }

    /// Opens what the processes sealed, with the run's master key.
    pub(crate) fn vault(&self) -> Result<Vault, Failure> {
        let master = MasterKey::from_base64(&Secret::new(MASTER_KEY))?;
        Ok(Vault::new(self.pool()?, master))
    }

    /// The settings of the projector, for its commands.
    pub(crate) fn projector(&self) -> Result<ProjectorConfig, Failure> {
        let lookup = |name: &str| {
            if name == "DATABASE_URL" {
                return Some(self.logins.url(Login::Projector, &self.database_url));
            }
            let found = self.settings.iter().find(|(setting, _)| setting == name);
            found.map(|(_, value)| value.clone())
        };
        Ok(ProjectorConfig::load(lookup)?)
    }

    /// The secrets that every process was given.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let password = self.database_url.split('@').next().and_then(|login| {
            let (_, password) = login.rsplit_once(':')?;
            Some(password.to_owned())
        });
        [KAKAOPAY_KEY, ACCESS_TOKEN_SIGNING_KEY, DIGEST_PEPPER, RETURN_URL_KEY, MASTER_KEY]
            .into_iter()
            .map(str::to_owned)
            .chain(password)
            .chain(self.logins.passwords().to_vec())
            .collect()
    }

    /// Stops everything, the database last.
    pub(crate) async fn stop(self) {
        self.fleet.end().await;
        drop(self.kakaopay.shutdown().await);
        self.redis.stop().await;
        self.postgres.into_inner().stop().await;
    }
}

/// What one process alone is given: its operators' address, its login, or the key that signs tokens.
fn own_settings(workers: &[String; 2], logins: &Logins, database: &str) -> Vec<Own> {
    let logs_in = Role::ALL.map(|role| {
        let login = match role {
            Role::Worker | Role::SecondWorker => Login::Worker,
            Role::Checkout => Login::Writer,
            Role::Storefront => Login::Reader,
            Role::Projector => Login::Projector,
        };
        (role, "DATABASE_URL", logins.url(login, database))
    });
    let signing_key = ACCESS_TOKEN_SIGNING_KEY.to_owned();
    [Role::Worker, Role::SecondWorker]
        .into_iter()
        .zip(workers)
        .map(|(role, address)| (role, "WORKER_OPS_LISTEN", address.clone()))
        .chain(logs_in)
        .chain([(Role::Checkout, "ACCESS_TOKEN_SIGNING_KEY", signing_key)])
        .collect()
}

fn settings(redis: &str, kakaopay: &str) -> Result<Vec<(String, String)>, Failure> {
    let verifying_key = public_key_of(&Secret::new(ACCESS_TOKEN_SIGNING_KEY))?;
    let own = [
        ("REDIS_URL", redis),
        ("KAKAOPAY_BASE_URL", kakaopay),
        ("KAKAOPAY_SECRET_KEY", KAKAOPAY_KEY),
        ("ACCESS_TOKEN_VERIFYING_KEYS", &verifying_key),
        ("DIGEST_PEPPER", DIGEST_PEPPER),
        ("RETURN_URL_KEY", RETURN_URL_KEY),
        ("MASTER_KEY", MASTER_KEY),
    ];
    Ok(own
        .into_iter()
        .chain(SHORTENED)
        .chain(RAISED)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

async fn lay_read_models(database_url: &str) -> Result<(), Failure> {
    let settings = PoolSettings { size_max: 1, ..PoolSettings::named("chaos") };
    let pool = pools::postgres(&Secret::new(database_url), &settings)?;
    Ok(projections::ensure_tables(&pool).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_master_key_has_the_form_that_processes_take() {
        assert!(service_kit::vault::MasterKey::from_base64(&Secret::new(MASTER_KEY)).is_ok());
    }
}

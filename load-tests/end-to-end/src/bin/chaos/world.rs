//! Everything around the processes: PostgreSQL, Redis, the simulated KakaoPay, settings, items.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use contracts::events::ItemDetails;
use contracts::{Actor, Category, DiscountRate, ItemId, Metadata, ReportNo, Text, Won};
use domain::item::{Item, ItemCommand, ItemTerms};
use event_store::{CommandContext, Executor, ExecutorOptions, PgEventStore, StoreSizes};
use kakaopay_sim::{SimConfig, SimHandle, Simulator};
use projections::ProjectorConfig;
use service_kit::config::Secret;
use service_kit::pools::{self, PoolSettings};
use tempfile::TempDir;
use testkit::{Durability, PrivatePostgres, PrivateRedis, free_port};
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls};

use crate::fleet::Fleet;
use crate::role::LOG_FILTER;
use crate::schedule::ITEMS;
use crate::{Arguments, Failure};

/// What may never be written down, and is searched for afterwards.
const KAKAOPAY_KEY: &str = "CHAOS-kakaopay-secret-key-5f1c";
const ACCESS_TOKEN_KEY: &str = "CHAOS-access-token-key-with-32-bytes-or-more";
const DIGEST_PEPPER: &str = "CHAOS-digest-pepper-with-32-bytes-or-more-";
const RETURN_URL_KEY: &str = "CHAOS-return-url-key-with-32-bytes-or-more";
/// 32 bytes in base64.
const MASTER_KEY: &str = "Q0hBT1MtbWFzdGVyLWtleS0zMi1ieXRlcy1sb25nISE=";

/// The settings that are shorter here than in a shop, so that a run takes minutes: a lost call is
/// given up after two seconds, a dead worker's rows are free after three.
const SHORTENED: [(&str, &str); 5] = [
    ("KAKAOPAY_CONNECT_TIMEOUT_MS", "1000"),
    ("KAKAOPAY_CALL_TIMEOUT_MS", "2000"),
    ("RELAY_LEASE_MS", "3000"),
    ("PAYMENT_WAIT_SECONDS", "5"),
    // All shoppers come from one address.
    ("LOGIN_ADDRESS_TRIES", "1000000"),
];

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
    pub(crate) items: Vec<ItemId>,
    /// Where the log lies.
    pub(crate) database_url: String,
    /// Where the processes' output lies.
    pub(crate) logs: PathBuf,
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
        let database_url = postgres.database("pillivery").await?;
        migrator::up(&database_url).await?;
        let config = SimConfig {
            secret_key: Some(Secret::new(KAKAOPAY_KEY)),
            seed: Some(arguments.seed),
            ..SimConfig::default()
        };
        let kakaopay = Simulator::start(config).await?;
        let (checkout, storefront) = (free_port(), free_port());
        let mut settings = settings(&database_url, &redis.url(), kakaopay.base_url());
        let listen = |port: u16| format!("127.0.0.1:{port}");
        for (name, port) in [
            ("CHECKOUT_LISTEN", checkout),
            ("CHECKOUT_ADMIN_LISTEN", free_port()),
            ("CHECKOUT_OPS_LISTEN", free_port()),
            ("STOREFRONT_LISTEN", storefront),
            ("STOREFRONT_OPS_LISTEN", free_port()),
            ("WORKER_OPS_LISTEN", free_port()),
        ] {
            settings.push((name.to_owned(), listen(port)));
        }
        let http = |port| format!("http://{}", listen(port));
        settings.push(("PUBLIC_BASE_URL".to_owned(), http(checkout)));
        if let Some(filter) = &arguments.log_filter {
            settings.push((LOG_FILTER.to_owned(), filter.clone()));
        }
        lay_read_models(&database_url).await?;
        let items = register_items(&database_url).await?;
        let fleet = Arc::new(Fleet::start(settings.clone(), &logs)?);
        Ok(Self {
            postgres: Mutex::new(postgres),
            kakaopay,
            fleet,
            checkout: http(checkout),
            storefront: http(storefront),
            items,
            database_url,
            logs,
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

    /// The settings of the projector, for its commands.
    pub(crate) fn projector(&self) -> Result<ProjectorConfig, Failure> {
        let lookup = |name: &str| {
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
        [KAKAOPAY_KEY, ACCESS_TOKEN_KEY, DIGEST_PEPPER, RETURN_URL_KEY, MASTER_KEY]
            .into_iter()
            .map(str::to_owned)
            .chain(password)
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

fn settings(database: &str, redis: &str, kakaopay: &str) -> Vec<(String, String)> {
    let own = [
        ("DATABASE_URL", database),
        ("REDIS_URL", redis),
        ("KAKAOPAY_BASE_URL", kakaopay),
        ("KAKAOPAY_SECRET_KEY", KAKAOPAY_KEY),
        ("ACCESS_TOKEN_KEY", ACCESS_TOKEN_KEY),
        ("DIGEST_PEPPER", DIGEST_PEPPER),
        ("RETURN_URL_KEY", RETURN_URL_KEY),
        ("MASTER_KEY", MASTER_KEY),
    ];
    own.into_iter()
        .chain(SHORTENED)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

async fn lay_read_models(database_url: &str) -> Result<(), Failure> {
    let settings = PoolSettings { size_max: 1, ..PoolSettings::named("chaos") };
    let pool = pools::postgres(&Secret::new(database_url), &settings)?;
    Ok(projections::ensure_tables(&pool).await?)
}

async fn register_items(database_url: &str) -> Result<Vec<ItemId>, Failure> {
    let store = PgEventStore::open(&Secret::new(database_url), StoreSizes::default())?;
    let executor = Executor::<Item>::new(store, ExecutorOptions::default());
    let mut items = Vec::new();
    for number in 0..ITEMS {
        let report_no = ReportNo::try_from(format!("2026{number:08}"))?;
        let id = ItemId::of(&report_no);
        let command = ItemCommand::ImportItem {
            report_no,
            details: Box::new(details(number)?),
            terms: terms(number)?,
            keep_price: false,
        };
        let metadata = Metadata {
            actor: Actor::System("import".to_owned()),
            correlation_id: "chaos".to_owned(),
            causation_id: None,
            idempotency_key: None,
        };
        executor.dispatch(id.uuid(), command, CommandContext::new(metadata)).await?;
        items.push(id);
    }
    Ok(items)
}

fn details(number: usize) -> Result<ItemDetails, Failure> {
    Ok(ItemDetails {
        product_name: Text::parse(&format!("홍삼 {number}"))?,
        enterprise: Some(Text::parse("고려제약")?),
        registered_on: None,
        expiration: None,
        appearance: None,
        serving_use: None,
        storage: None,
        intake_hint: None,
        main_function: Some(Text::parse("면역력 증진, 피로 개선")?),
        base_standard: None,
        thumbnail_url: None,
        description_image_url: None,
    })
}

fn terms(number: usize) -> Result<ItemTerms, Failure> {
    let price = 9_900 + 1_370 * i64::try_from(number)?;
    let category = Category::ALL[number % Category::ALL.len()];
    Ok(ItemTerms {
        origin_price: Won::try_from(price)?,
        discount_rate: DiscountRate::try_from(u16::try_from(number % 4)? * 50)?,
        categories: BTreeSet::from([category]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_master_key_has_the_form_that_processes_take() {
        assert!(service_kit::vault::MasterKey::from_base64(&Secret::new(MASTER_KEY)).is_ok());
    }
}

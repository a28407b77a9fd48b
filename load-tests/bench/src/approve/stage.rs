//! The command API, the worker and a simulated KakaoPay in this process, on a durable PostgreSQL of
//! their own: everything that an approval goes through, and nothing else.
//!
//! Each part gets the settings that its own binary would read from the environment. Projector and
//! storefront are left out: no approval waits for them.

use std::collections::{BTreeSet, HashMap};

use checkout_api::CheckoutConfig;
use contracts::events::ItemDetails;
use contracts::{Actor, Category, DiscountRate, ItemId, Metadata, ReportNo, Text, UserId, Won};
use deadpool_postgres::Pool;
use domain::item::{Item, ItemCommand, ItemTerms};
use event_store::{CommandContext, Executor, ExecutorOptions, PgEventStore, StoreSizes};
use kakaopay_sim::{SimConfig, SimHandle, Simulator};
use processes::WorkerConfig;
use service_kit::clock::{Clock as _, SystemClock};
use service_kit::config::Secret;
use service_kit::pools::{self, PoolSettings};
use service_kit::shutdown::{self, Shutdown, ShutdownTrigger};
use service_kit::tokens::{Role, TokenSigner, public_key_of};
use service_kit::vault::{MasterKey, Vault};
use testkit::free_port;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::world::{BoxError, World};

/// The name under which this measurement itself uses the database; not counted as the shop's.
pub(crate) const OWN_NAME: &str = "bench";
/// Connections of the measurement itself.
const OWN_CONNECTIONS: usize = 4;
const KEY: &str = "bench-key-of-thirty-two-bytes-or-more";
/// 32 bytes in base64.
const SIGNING_KEY: &str = "YmVuY2gtdG9rZW4ta2V5LTMyLWJ5dGVzLWxvbmchISE=";
/// 32 bytes in base64.
const MASTER_KEY: &str = "YmVuY2gtbWFzdGVyLWtleS0zMi1ieXRlcy1sb25nISE=";
/// Looks at a starting API before it counts as broken, and the pause between two.
const START_LOOKS_MAX: u32 = 500;
const START_LOOK_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// A shop that can be paid in.
pub(crate) struct Stage {
    /// The simulated KakaoPay.
    pub(crate) kakaopay: SimHandle,
    /// Where shoppers send commands.
    pub(crate) checkout: String,
    /// Where the log lies.
    pub(crate) database_url: String,
    /// The measurement's own connections.
    pub(crate) pool: Pool,
    /// The one item on sale.
    pub(crate) item: ItemId,
    /// The worker's settings, to build another gateway from.
    pub(crate) worker: WorkerConfig,
    tokens: TokenSigner,
    vault: Vault,
    trigger: ShutdownTrigger,
    parts: JoinSet<Result<(), BoxError>>,
    world: World,
}

impl Stage {
    /// Starts everything; when this returns, the command API answers. `settings` come on top of
    /// the defaults.
    ///
    /// # Errors
    /// Something did not start.
    pub(crate) async fn open(settings: &[(String, String)]) -> Result<Self, BoxError> {
        let world = World::start().await?;
        let database_url = world.database("pillivery").await?;
        let kakaopay = Simulator::start(SimConfig {
            secret_key: Some(Secret::new(KEY)),
            ..SimConfig::default()
        })
        .await?;
        let checkout = format!("127.0.0.1:{}", free_port());
        let verifying_key = public_key_of(&Secret::new(SIGNING_KEY))?;
        let mut table = defaults(&database_url, kakaopay.base_url(), &checkout);
        table.insert("ACCESS_TOKEN_VERIFYING_KEYS".to_owned(), verifying_key.clone());
        table.extend(settings.iter().cloned());
        let lookup = |name: &str| table.get(name).cloned();
        let mut worker = WorkerConfig::load(lookup)?;
        let mut api = CheckoutConfig::load(lookup)?;
        // One login for all: what the roles cost is nothing that is measured here.
        worker.may_own_database = true;
        api.may_own_database = true;
        let (trigger, shutdown) = shutdown::pair();
        let parts = start_parts(&worker, api, &shutdown);
        let own = PoolSettings { size_max: OWN_CONNECTIONS, ..PoolSettings::named(OWN_NAME) };
        let pool = pools::postgres(&Secret::new(&database_url), &own)?;
        let vault = Vault::new(pool.clone(), MasterKey::from_base64(&Secret::new(MASTER_KEY))?);
        let stage = Self {
            kakaopay,
            checkout: format!("http://{checkout}"),
            item: register_item(&database_url).await?,
            database_url,
            pool,
            worker,
            tokens: TokenSigner::new(&Secret::new(SIGNING_KEY), &verifying_key)?,
            vault,
            trigger,
            parts,
            world,
        };
        stage.until_it_answers().await?;
        Ok(stage)
    }

    /// Somebody who may order: a key to seal for, and a token. Signing up is left out, because
    /// hashing a password takes longer than everything else together and no approval meets it.
    ///
    /// # Errors
    /// The database is away.
    pub(crate) async fn admit(&self) -> Result<String, BoxError> {
        let user = UserId::new(Uuid::now_v7());
        self.vault.create_user_key(user).await?;
        let issued = self.tokens.issue(user, Role::User, SystemClock.now())?;
        Ok(issued.token.expose().to_owned())
    }

    /// Ends the parts, then the services; what a part died of comes back.
    ///
    /// # Errors
    /// A part ended with an error.
    pub(crate) async fn close(mut self) -> Result<(), BoxError> {
        self.trigger.trigger();
        while let Some(ended) = self.parts.join_next().await {
            ended??;
        }
        self.kakaopay.shutdown().await?;
        self.world.postgres.stop().await;
        Ok(())
    }

    async fn until_it_answers(&self) -> Result<(), BoxError> {
        let http = reqwest::Client::new();
        let url = format!("{}/openapi.json", self.checkout);
        for _ in 0..START_LOOKS_MAX {
            if http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            SystemClock.sleep(START_LOOK_PAUSE).await;
        }
        Err("the command API does not answer".into())
    }
}

fn defaults(database: &str, kakaopay: &str, checkout: &str) -> HashMap<String, String> {
    let own = [
        ("DATABASE_URL", database.to_owned()),
        ("KAKAOPAY_BASE_URL", kakaopay.to_owned()),
        ("KAKAOPAY_SECRET_KEY", KEY.to_owned()),
        ("ACCESS_TOKEN_SIGNING_KEY", SIGNING_KEY.to_owned()),
        ("DIGEST_PEPPER", format!("pepper-{KEY}")),
        ("RETURN_URL_KEY", format!("return-{KEY}")),
        ("MASTER_KEY", MASTER_KEY.to_owned()),
        ("PUBLIC_BASE_URL", format!("http://{checkout}")),
        ("CHECKOUT_LISTEN", checkout.to_owned()),
        // All shoppers come from one address and are quicker than people.
        ("TRUSTED_PROXIES", "127.0.0.0/8".to_owned()),
        ("EDITS_PER_SECOND", "0".to_owned()),
        ("ORDERS_PER_MINUTE", "0".to_owned()),
        ("PAYMENTS_PER_HOUR", "0".to_owned()),
        ("SIGN_UPS_PER_MINUTE", "0".to_owned()),
        ("LOGIN_ADDRESS_TRIES", "0".to_owned()),
        ("CHECKOUT_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ("CHECKOUT_OPS_LISTEN", "127.0.0.1:0".to_owned()),
        ("WORKER_OPS_LISTEN", "127.0.0.1:0".to_owned()),
        // Without a projector somebody else has to find out how far the log is settled.
        ("FEED_WATCHER", "own".to_owned()),
    ];
    own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn start_parts(
    worker: &WorkerConfig,
    api: CheckoutConfig,
    shutdown: &Shutdown,
) -> JoinSet<Result<(), BoxError>> {
    let mut parts = JoinSet::new();
    let (worker, until) = (worker.clone(), shutdown.clone());
    parts.spawn(async move { Ok(processes::run(worker, until).await?) });
    let until = shutdown.clone();
    parts.spawn(async move { Ok(checkout_api::run(api, until).await?) });
    parts
}

async fn register_item(database_url: &str) -> Result<ItemId, BoxError> {
    let store = PgEventStore::open(&Secret::new(database_url), StoreSizes::default())?;
    let executor = Executor::<Item>::new(store, ExecutorOptions::default());
    let report_no = ReportNo::try_from("202600000001".to_owned())?;
    let id = ItemId::of(&report_no);
    let details = ItemDetails {
        product_name: Text::parse("홍삼")?,
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
    };
    let terms = ItemTerms {
        origin_price: Won::try_from(29_900)?,
        discount_rate: DiscountRate::try_from(100)?,
        categories: Category::ALL.into_iter().take(1).collect::<BTreeSet<_>>(),
    };
    let command =
        ItemCommand::ImportItem { report_no, details: Box::new(details), terms, keep_price: false };
    let metadata = Metadata {
        actor: Actor::System("import".to_owned()),
        correlation_id: "bench".to_owned(),
        causation_id: None,
        idempotency_key: None,
    };
    executor.dispatch(id.uuid(), command, CommandContext::new(metadata)).await?;
    Ok(id)
}

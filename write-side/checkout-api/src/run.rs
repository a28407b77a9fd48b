//! Putting the parts together and running them until told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use event_feed::{FeedReader, FollowOptions, SafePosition, Watcher, WatcherHandle, WatcherOptions};
use event_store::{Executor, ExecutorOptions, PgEventStore, StoreError, StoreSizes};
use operator::Operator;
use poem::endpoint::BoxEndpoint;
use poem::http::HeaderValue;
use poem::{EndpointExt, Route};
use poem_openapi::{OpenApi, OpenApiService};
use service_kit::clock::{BoxFuture, SharedClock};
use service_kit::config::ConfigError;
use service_kit::digest::Pepper;
use service_kit::http::{Health, Listener, ServeError, open_to, ops_routes, serve, standard};
use service_kit::pools::{PoolError, PoolSettings};
use service_kit::return_url::ReturnUrls;
use service_kit::shutdown::Shutdown;
use service_kit::tokens::AccessTokens;
use service_kit::vault::{MasterKey, Vault};
use service_kit::{pools, telemetry};
use tokio::net::TcpListener;
use url::Url;

use crate::accounts::{Accounts, Credentials, LoginThrottle, PasswordHashes};
use crate::api;
use crate::breaker::GatewayBreaker;
use crate::config::{CheckoutConfig, FeedWatcher};
use crate::http::ForwardedBy;
use crate::metrics;
use crate::outcomes::Outcomes;
use crate::shop::Shop;

/// The label of this process in metrics and log lines.
const SERVICE: &str = "checkout-api";
/// Longest run of one statement. Every statement here touches a few rows by key.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a free connection.
const CONNECTION_WAIT_MAX: Duration = Duration::from_secs(2);
/// How often an edit of a cart is decided again: fifty tabs at once all get through.
const CART_CONFLICT_RETRIES: u32 = 60;

/// Why `checkout-api` did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A setting cannot be used.
    #[error("use the configuration")]
    Config(#[from] ConfigError),
    /// A pool cannot be made.
    #[error("set up connections")]
    Pool(#[from] PoolError),
    /// The event store cannot be opened.
    #[error("open the event store")]
    Store(#[from] StoreError),
    /// Passwords cannot be hashed on this machine.
    #[error("hash passwords")]
    Hash(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An address cannot be listened on.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Operations that neither ask for a token nor are declared public.
    #[error("operations without a policy: {}", .0.join(", "))]
    Undeclared(Vec<String>),
    /// A server ended.
    #[error("serve")]
    Serve(#[from] ServeError),
}

/// The three sockets of the process.
#[derive(Debug)]
pub struct Listeners {
    /// Where shoppers are answered.
    pub api: Listener,
    /// Where administrators are answered.
    pub admin: Listener,
    /// Where operators are: health, metrics, version.
    pub ops: Listener,
}

/// Binds the configured addresses and answers on them until `shutdown`.
///
/// # Errors
/// [`RunError`]; a database that is away is none: the process starts, says in `/health/ready` that
/// it is not ready, and recovers by itself.
pub async fn run(config: CheckoutConfig, shutdown: Shutdown) -> Result<(), RunError> {
    let bind = |address| async move {
        TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })
    };
    let listeners = Listeners {
        api: bind(config.listen).await?.into(),
        admin: bind(config.admin_listen).await?.into(),
        ops: bind(config.ops_listen).await?.into(),
    };
    run_on(config, listeners, shutdown).await
}

/// Answers on sockets that are bound already, until `shutdown`; the addresses in `config` are not
/// used.
///
/// # Errors
/// As [`run`].
pub async fn run_on(
    config: CheckoutConfig,
    listeners: Listeners,
    shutdown: Shutdown,
) -> Result<(), RunError> {
    tracing::info!(?config, "checkout-api starts");
    let Assembled { api, admin, ops, background } =
        assemble(&config, config.clock.shared(), shutdown.clone()).await?;
    let background = async {
        background.await;
        Ok(())
    };
    // The first that cannot go on ends them all; at shutdown each ends by itself.
    tokio::try_join!(
        serve("checkout-api", listeners.api, api, shutdown.clone()),
        serve("checkout-admin", listeners.admin, admin, shutdown.clone()),
        serve("checkout-ops", listeners.ops, ops, shutdown),
        background,
    )?;
    Ok(())
}

/// The process without its sockets; [`run_on`] serves it, and a test may call it directly.
pub struct Assembled {
    /// What shoppers call.
    pub api: BoxEndpoint<'static>,
    /// What administrators call.
    pub admin: BoxEndpoint<'static>,
    /// What operators call.
    pub ops: BoxEndpoint<'static>,
    /// What must run beside them; ends at shutdown.
    pub background: BoxFuture<'static, ()>,
}

impl std::fmt::Debug for Assembled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Assembled")
    }
}

/// Puts the parts together. Connects to nothing yet.
///
/// # Errors
/// A setting that cannot be used, or an operation without a policy.
pub async fn assemble(
    config: &CheckoutConfig,
    clock: SharedClock,
    shutdown: Shutdown,
) -> Result<Assembled, RunError> {
    let recorded = telemetry::metrics();
    service_kit::http::describe();
    event_store::metrics::describe();
    event_feed::metrics::describe();
    metrics::describe();
    let pool = open_pool(config)?;
    let tokens = Arc::new(AccessTokens::new(&config.access_token_key)?);
    let watcher = watch(config, &pool, &clock, &shutdown);
    let outcomes = Outcomes::new(watcher.safe(), Arc::clone(&clock));
    let accounts = open_accounts(config, &pool, &tokens, &clock).await?;
    let operator = Operator::new(pool.clone());
    let breaker = GatewayBreaker::new(pool.clone());
    let shop = Arc::new(open_shop(config, accounts, outcomes.clone(), (operator, breaker))?);
    let forwarded = if config.trusts_proxy { ForwardedBy::Proxy } else { ForwardedBy::Nobody };
    let public = routes(api::public(&shop))?
        .data(Arc::clone(&tokens))
        .data(Arc::clone(&clock))
        .data(forwarded)
        .around(api::ignore_head);
    let own = origin("PUBLIC_BASE_URL", &config.public_base_url)?;
    let others = config.cors_origins.iter().map(|text| origin("CORS_ORIGINS", text));
    let others: Vec<HeaderValue> = others.collect::<Result<_, _>>()?;
    let admin = routes(api::admin(&shop))?.data(tokens).data(Arc::clone(&clock));
    let mut health = Health::new().requires_postgres(pool.clone()).until(shutdown.clone());
    if !config.clock.is_settable() {
        health = health.requires_right_clock(clock, pool.clone());
    }
    if let Some(url) = &config.redis_url {
        health = health.uses_redis(pools::redis(url)?);
    }
    let ops = ops_routes(health, recorded, env!("CARGO_PKG_VERSION"));
    let background = async move {
        outcomes.follow(FeedReader::new(pool), shutdown).await;
        watcher.stopped().await;
    };
    Ok(Assembled {
        api: standard(SERVICE, open_to(public, others.into_iter().chain([own]))).boxed(),
        admin: standard("checkout-admin", admin).boxed(),
        ops: standard("checkout-ops", ops).boxed(),
        background: Box::pin(background),
    })
}

fn watch(
    config: &CheckoutConfig,
    pool: &Pool,
    clock: &SharedClock,
    shutdown: &Shutdown,
) -> WatcherHandle {
    let (pool, clock, shutdown) = (pool.clone(), Arc::clone(clock), shutdown.clone());
    match config.feed_watcher {
        FeedWatcher::Own => Watcher::start(pool, clock, WatcherOptions::default(), shutdown),
        FeedWatcher::Follow => {
            SafePosition::follow(pool, clock, FollowOptions::default(), shutdown)
        }
    }
}

/// The part that makes accounts and lets people in.
pub(crate) async fn open_accounts(
    config: &CheckoutConfig,
    pool: &Pool,
    tokens: &Arc<AccessTokens>,
    clock: &SharedClock,
) -> Result<Accounts, RunError> {
    let store = open_store(config)?;
    let options = ExecutorOptions { cache_entries: 0, ..ExecutorOptions::default() };
    let hashes = PasswordHashes::new(config.password_hashes_max).await;
    Ok(Accounts {
        users: Executor::new(Arc::clone(&store), options),
        store,
        credentials: Credentials::new(pool.clone()),
        hashes: hashes.map_err(|error| RunError::Hash(Box::new(error)))?,
        throttle: LoginThrottle::new(config.login_per_account, config.login_per_address),
        vault: Vault::new(pool.clone(), MasterKey::from_base64(&config.master_key)?),
        pepper: Pepper::new(&config.digest_pepper)?,
        tokens: Arc::clone(tokens),
        clock: Arc::clone(clock),
    })
}

fn open_shop(
    config: &CheckoutConfig,
    accounts: Accounts,
    outcomes: Outcomes,
    (operator, breaker): (Operator, GatewayBreaker),
) -> Result<Shop, RunError> {
    let store = Arc::clone(&accounts.store);
    let options = ExecutorOptions::default();
    let carts = ExecutorOptions { conflict_retries: CART_CONFLICT_RETRIES, ..options };
    Ok(Shop {
        carts: Executor::new(Arc::clone(&store), carts),
        items: Executor::new(Arc::clone(&store), options),
        orders: Executor::new(Arc::clone(&store), options),
        store,
        operator,
        vault: accounts.vault.clone(),
        pepper: accounts.pepper.clone(),
        clock: Arc::clone(&accounts.clock),
        return_urls: ReturnUrls::new(&config.return_url_key, &config.public_base_url)?,
        result_url: config.payment_result_url.clone(),
        outcomes,
        breaker,
        payment_wait_max: config.payment_wait_max,
        accounts,
    })
}

/// Connections for accounts, keys, the feed and what operators look at.
pub(crate) fn open_pool(config: &CheckoutConfig) -> Result<Pool, PoolError> {
    let settings = PoolSettings {
        application_name: SERVICE,
        size_max: config.database_connections_max,
        wait_max: CONNECTION_WAIT_MAX,
        statement_timeout: STATEMENT_TIMEOUT,
    };
    pools::postgres(&config.database_url, &settings)
}

fn open_store(config: &CheckoutConfig) -> Result<Arc<PgEventStore>, StoreError> {
    let connections = config.database_connections_max;
    let sizes = StoreSizes {
        append_connections: connections,
        load_connections: u32::try_from(connections).unwrap_or(u32::MAX),
        statement_timeout: STATEMENT_TIMEOUT,
        ..StoreSizes::default()
    };
    PgEventStore::open(&config.database_url, sizes)
}

/// The documented operations and their documentation.
fn routes<T: OpenApi + 'static>(service: OpenApiService<T, ()>) -> Result<Route, RunError> {
    let document = serde_json::from_str(&service.spec()).unwrap_or_default();
    let undeclared = api::undeclared(&document);
    if !undeclared.is_empty() {
        return Err(RunError::Undeclared(undeclared));
    }
    Ok(Route::new()
        .nest("/docs", service.swagger_ui())
        .at("/openapi.json", service.spec_endpoint())
        .nest("/", service))
}

/// An origin as a browser sends it.
fn origin(name: &str, text: &str) -> Result<HeaderValue, ConfigError> {
    let expected = || ConfigError::invalid(name, "expected a web address");
    let url: Url = text.trim().parse().map_err(|_may_repeat_it| expected())?;
    HeaderValue::from_str(&url.origin().ascii_serialization()).map_err(|_no_text| expected())
}

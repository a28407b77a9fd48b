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
use service_kit::database_role::{RoleError, refuse_owner};
use service_kit::digest::Pepper;
use service_kit::http::{
    AddressLimit, Contract, ContractEndpoint, Health, Limit, Listener, ServeError, Version,
    open_to, ops_routes, serve, serve_with, standard,
};
use service_kit::pools::{PoolError, PoolSettings};
use service_kit::return_url::ReturnUrls;
use service_kit::shutdown::{self, Shutdown};
use service_kit::tokens::{Audience, TokenSigner, TokenVerifier};
use service_kit::vault::{MasterKey, Vault};
use service_kit::{pools, telemetry};
use tokio::net::TcpListener;
use url::Url;

use crate::accounts::{AccountLimits, Accounts, Credentials, PasswordHashes};
use crate::api;
use crate::breaker::GatewayBreaker;
use crate::config::{CheckoutConfig, FeedWatcher};
use crate::limits::UserLimits;
use crate::metrics;
use crate::outcomes::Outcomes;
use crate::shop::Shop;

/// The label of this process in metrics and log lines.
const SERVICE: &str = "checkout-api";
/// Longest run of one statement. Every statement here touches a few rows by key.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a free connection.
const CONNECTION_WAIT_MAX: Duration = Duration::from_secs(2);
/// Pools of as many connections each: appends, loads, and what [`open_pool`] is for.
const POOLS: usize = 3;
/// Connections to Redis, with its subscriptions.
const REDIS_CONNECTIONS: usize = 4;
/// Listeners beside the public one: for administrators and for operators.
const LISTENERS_BESIDE: usize = 2;
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
    /// The login could change the log.
    #[error(transparent)]
    Role(#[from] RoleError),
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
    let login =
        refuse_owner(config.may_own_database, config.database_url.clone(), shutdown.clone());
    let answering = Box::pin(run_on(config, listeners, shutdown));
    tokio::try_join!(answering, async { login.await.map_err(RunError::from) })?;
    Ok(())
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
    // Appends, loads, and everything else have a pool each.
    let connections = POOLS * config.database_connections_max + REDIS_CONNECTIONS;
    let limits = config.edge.public_limits(connections, LISTENERS_BESIDE);
    // At shutdown readiness ends first, then, after a delay, the listeners, then what requests wait
    // for, and the operators' listener last.
    let closing = shutdown.delayed(config.edge.drain_delay);
    let (answered, background_end) = shutdown::pair();
    let (ended, ops_end) = shutdown::pair();
    let Assembled { api, admin, ops, background } =
        assemble(&config, config.clock.shared(), shutdown, background_end).await?;
    // The first that cannot go on ends them all.
    let answering = Box::pin(async {
        tokio::try_join!(
            serve_with(limits, "checkout-api", listeners.api, api, closing.clone()),
            serve("checkout-admin", listeners.admin, admin, closing),
        )
    });
    let background = async {
        background.await;
        Ok(())
    };
    let working = async { tokio::try_join!(answered.after(answering), background) };
    tokio::try_join!(ended.after(working), serve("checkout-ops", listeners.ops, ops, ops_end),)?;
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

/// Puts the parts together. Connects to nothing yet. At `shutdown` the process reports itself unready;
/// the background ends at `background_end`, once no request needs it.
///
/// # Errors
/// A setting that cannot be used, or an operation without a policy.
pub async fn assemble(
    config: &CheckoutConfig,
    clock: SharedClock,
    shutdown: Shutdown,
    background_end: Shutdown,
) -> Result<Assembled, RunError> {
    let recorded = telemetry::metrics();
    service_kit::http::describe();
    event_store::metrics::describe();
    event_feed::metrics::describe();
    metrics::describe();
    let pool = open_pool(config)?;
    let watcher = watch(config, &pool, &clock, &background_end);
    let outcomes = Outcomes::new(watcher.safe(), Arc::clone(&clock));
    let accounts = open_accounts(config, &pool, &clock).await?;
    let operator = Operator::new(pool.clone());
    let breaker = GatewayBreaker::new(pool.clone());
    let workers = breaker.clone();
    let shop = Arc::new(open_shop(config, accounts, outcomes.clone(), (operator, breaker))?);
    let public = routes(api::public(&shop))?
        .data(verifier(config, Audience::Shop)?)
        .data(Arc::clone(&clock))
        .around(api::ignore_head);
    let own = origin("PUBLIC_BASE_URL", &config.public_base_url)?;
    let admin = routes(api::admin(&shop))?;
    let admin = admin.data(verifier(config, Audience::Admin)?).data(Arc::clone(&clock));
    let mut health = Health::new().requires_postgres(pool.clone()).until(shutdown);
    if !config.clock.is_settable() {
        health = health.requires_right_clock(clock, pool.clone());
    }
    if let Some(url) = &config.redis_url {
        health = health.uses_redis(pools::redis(url)?);
    }
    let version = Version::from(env!("CARGO_PKG_VERSION")).with("payment_mode", move || {
        let workers = workers.clone();
        async move { workers.payment_mode().await }
    });
    let ops = ops_routes(health, recorded, version);
    let background = async move {
        outcomes.follow(FeedReader::new(pool), background_end).await;
        watcher.stopped().await;
    };
    Ok(Assembled {
        api: standard(SERVICE, open_to(public, &config.cors_origins.clone().and(own)))
            .trusting(config.edge.trusted_proxies.clone())
            .boxed(),
        admin: standard("checkout-admin", admin)
            .trusting(config.edge.trusted_proxies.clone())
            .boxed(),
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

/// What a listener accepts tokens by.
fn verifier(
    config: &CheckoutConfig,
    audience: Audience,
) -> Result<Arc<TokenVerifier>, ConfigError> {
    Ok(Arc::new(TokenVerifier::new(&config.access_token_verifying_keys, audience)?))
}

/// The part that makes accounts and lets people in.
pub(crate) async fn open_accounts(
    config: &CheckoutConfig,
    pool: &Pool,
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
        limits: AccountLimits {
            sign_ups: AddressLimit::new(
                "sign-up",
                "user.throttled",
                config.limits.sign_ups_per_address,
            ),
            logins: AddressLimit::new("login", "auth.throttled", config.limits.login_per_address),
            account_logins: Limit::new("login", "auth.throttled", config.limits.login_per_account),
        },
        vault: Vault::new(pool.clone(), MasterKey::from_base64(&config.master_key)?),
        pepper: Pepper::new(&config.digest_pepper)?,
        tokens: TokenSigner::new(
            &config.access_token_signing_key,
            &config.access_token_verifying_keys,
        )?,
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
        limits: UserLimits {
            edits: Limit::new("edit", "limit.edits", config.limits.edits_per_user),
            orders: Limit::new("order", "limit.orders", config.limits.orders_per_user),
            payments: Limit::new("payment", "limit.payments", config.limits.payments_per_user),
        },
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
fn routes<T: OpenApi + 'static>(
    service: OpenApiService<T, ()>,
) -> Result<ContractEndpoint<Route>, RunError> {
    let document = serde_json::from_str(&service.spec()).unwrap_or_default();
    let undeclared = api::undeclared(&document);
    if !undeclared.is_empty() {
        return Err(RunError::Undeclared(undeclared));
    }
    let routes = Route::new()
        .nest("/docs", service.swagger_ui())
        .at("/openapi.json", service.spec_endpoint())
        .nest("/", service);
    Ok(Contract::of(&document, &api::RETURNS).around(routes))
}

/// An origin as a browser sends it.
fn origin(name: &str, text: &str) -> Result<HeaderValue, ConfigError> {
    let expected = || ConfigError::invalid(name, "expected a web address");
    let url: Url = text.trim().parse().map_err(|_may_repeat_it| expected())?;
    HeaderValue::from_str(&url.origin().ascii_serialization()).map_err(|_no_text| expected())
}

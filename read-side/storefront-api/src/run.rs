//! Putting the parts together and running them until told to stop.

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use poem::endpoint::BoxEndpoint;
use poem::{EndpointExt, Route};
use service_kit::clock::{BoxFuture, SharedClock};
use service_kit::config::ConfigError;
use service_kit::database_role::{RoleError, refuse_owner};
use service_kit::http::{
    Allowance, Contract, ContractEndpoint, Health, Limit, Listener, ServeError, open_to,
    ops_routes, serve, serve_with, standard,
};
use service_kit::pools::{PoolError, PoolSettings};
use service_kit::shutdown::{self, Shutdown};
use service_kit::tokens::{Audience, TokenVerifier};
use service_kit::vault::{MasterKey, Vault};
use service_kit::{pools, telemetry};
use tokio::net::TcpListener;

use crate::api;
use crate::catalogue::{Store, Window};
use crate::config::StorefrontConfig;
use crate::freshness::LookOut;
use crate::metrics;
use crate::state::State;

/// The label of this process in metrics and log lines.
const SERVICE: &str = "storefront-api";
/// The reads of the catalogue: most requests by far, and the same for everybody.
const SAMPLED: [&str; 4] = ["listItems", "mainPage", "itemDetail", "listCategories"];
/// Longest run of one statement. Every statement here is a short range scan; one that takes this
/// long is in trouble, and a shopper has left.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3);
/// How PostgreSQL is to plan for us. A prepared statement is planned without knowing that a page
/// has twenty rows, so that sorting everything can look cheaper than walking the index that has the
/// order already; here it never is, and a sort that cannot be avoided (search) still happens. No
/// question is worth a second core: a search that takes one takes it from somebody's page.
pub(crate) const TUNING: [(&str, &str); 2] =
    [("enable_sort", "off"), ("max_parallel_workers_per_gather", "0")];
/// Connections to Redis, with its subscriptions.
const REDIS_CONNECTIONS: usize = 4;
/// Longest wait for a free connection.
const CONNECTION_WAIT_MAX: Duration = Duration::from_secs(2);
/// Most searches at once: their pool is what bounds them. Each holds a core of the database for up
/// to a tenth of a second, where a page takes a third of a millisecond.
const SEARCHES_MAX: usize = 2;
/// Longest wait of a search for its turn; then it is answered 503 with `Retry-After`.
const SEARCH_WAIT_MAX: Duration = Duration::from_secs(1);

/// Why `storefront-api` did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum StorefrontError {
    /// A setting cannot be used.
    #[error("use the configuration")]
    Config(#[from] ConfigError),
    /// A pool cannot be made.
    #[error("set up connections")]
    Pool(#[from] PoolError),
    /// An address cannot be listened on.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
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

/// The two sockets of the process.
#[derive(Debug)]
pub struct Listeners {
    /// Where shoppers are answered.
    pub api: Listener,
    /// Where operators are: health, metrics, version.
    pub ops: Listener,
}

/// Binds the configured addresses and answers on them until `shutdown`.
///
/// # Errors
/// [`StorefrontError`]; a database that is away is none: the process starts, says in
/// `/health/ready` that it is not ready, and recovers by itself.
pub async fn run(config: StorefrontConfig, shutdown: Shutdown) -> Result<(), StorefrontError> {
    let bind = |address| async move {
        TcpListener::bind(address)
            .await
            .map_err(|source| StorefrontError::Listen { address, source })
    };
    let listeners = Listeners {
        api: bind(config.listen).await?.into(),
        ops: bind(config.ops_listen).await?.into(),
    };
    let login =
        refuse_owner(config.may_own_database, config.database_url.clone(), shutdown.clone());
    tokio::try_join!(run_on(config, listeners, shutdown), async {
        login.await.map_err(StorefrontError::from)
    })?;
    Ok(())
}

/// Answers on sockets that are bound already, until `shutdown`; the addresses in `config` are not
/// used.
///
/// # Errors
/// As [`run`].
pub async fn run_on(
    config: StorefrontConfig,
    listeners: Listeners,
    shutdown: Shutdown,
) -> Result<(), StorefrontError> {
    tracing::info!(?config, "storefront-api starts");
    let connections = config.database_connections_max + SEARCHES_MAX + REDIS_CONNECTIONS;
    let limits = config.edge.public_limits(connections, 1);
    // At shutdown readiness ends first, then, after a delay, the public listener, and the operators'
    // listener last.
    let closing = shutdown.delayed(config.edge.drain_delay);
    let (ended, ops_end) = shutdown::pair();
    let Assembled { api, ops, background } = assemble(&config, config.clock.shared(), shutdown)?;
    let working = async {
        let answering = serve_with(limits, "storefront-api", listeners.api, api, closing);
        tokio::join!(answering, background).0
    };
    let (answered, operated) =
        tokio::join!(ended.after(working), serve("storefront-ops", listeners.ops, ops, ops_end),);
    answered.and(operated)?;
    Ok(())
}

/// The process without its sockets; [`run_on`] serves it, and a test may call it directly.
pub struct Assembled {
    /// What shoppers call.
    pub api: BoxEndpoint<'static>,
    /// What operators call.
    pub ops: BoxEndpoint<'static>,
    /// What must run beside them; ends at shutdown.
    pub background: BoxFuture<'static, ()>,
}

/// Puts the parts together. Connects to nothing yet.
///
/// # Errors
/// A setting that cannot be used, or an operation without a policy.
pub fn assemble(
    config: &StorefrontConfig,
    clock: SharedClock,
    shutdown: Shutdown,
) -> Result<Assembled, StorefrontError> {
    let recorded = telemetry::metrics();
    service_kit::http::describe();
    metrics::describe();
    let settings = PoolSettings {
        application_name: SERVICE,
        size_max: config.database_connections_max,
        wait_max: CONNECTION_WAIT_MAX,
        statement_timeout: STATEMENT_TIMEOUT,
    };
    let pool = pools::postgres_tuned(&config.database_url, &settings, &TUNING)?;
    let search_settings =
        PoolSettings { size_max: SEARCHES_MAX, wait_max: SEARCH_WAIT_MAX, ..settings };
    let searches = pools::postgres_tuned(&config.database_url, &search_settings, &TUNING)?;
    let look_out = LookOut::new();
    let store = Store::new(pool.clone(), searches);
    let state = State {
        vault: Vault::new(pool.clone(), MasterKey::from_base64(&config.master_key)?),
        clock: Arc::clone(&clock),
        look_out: look_out.clone(),
        window: Window::new(store, look_out, config.cache),
        searches: Arc::new(Limit::new(
            "search",
            "search.throttled",
            searches_allowed(config.searches_per_minute),
        )),
        pool: pool.clone(),
    };
    let tokens = TokenVerifier::new(&config.access_token_verifying_keys, Audience::Shop)?;
    let api = routes(&state)?.data(Arc::new(tokens)).data(Arc::clone(&clock));
    let background_end = shutdown.delayed(config.edge.drain_delay);
    let mut health = Health::new().requires_postgres(pool.clone()).until(shutdown);
    if let Some(url) = &config.redis_url {
        health = health.uses_redis(pools::redis(url)?);
    }
    let ops = ops_routes(health, recorded, env!("CARGO_PKG_VERSION"));
    Ok(Assembled {
        api: standard(SERVICE, open_to(api, &config.cors_origins))
            .sampling(&SAMPLED)
            .trusting(config.edge.trusted_proxies.clone())
            .boxed(),
        ops: standard("storefront-ops", ops).boxed(),
        background: Box::pin(state.look_out.run(pool, clock, background_end)),
    })
}

/// A quarter of a minute's searches may come at once: a search, its filters and its next pages follow
/// each other quickly.
fn searches_allowed(per_minute: u32) -> Option<Allowance> {
    let allowed = Allowance::per(Duration::from_mins(1), per_minute)?;
    let burst = NonZeroU32::new(per_minute / 4).unwrap_or(NonZeroU32::MIN);
    Some(Allowance { burst, ..allowed })
}

/// The documented operations and their documentation.
fn routes(state: &State) -> Result<ContractEndpoint<Route>, StorefrontError> {
    let service = api::service(state);
    let document = serde_json::from_str(&service.spec()).unwrap_or_default();
    let undeclared = api::undeclared(&document);
    if !undeclared.is_empty() {
        return Err(StorefrontError::Undeclared(undeclared));
    }
    let routes = Route::new()
        .nest("/docs", service.swagger_ui())
        .at("/openapi.json", service.spec_endpoint())
        .nest("/", service);
    Ok(Contract::of(&document, &[]).around(routes))
}

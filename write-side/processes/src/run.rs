//! Putting the parts together and running them until told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use domain::cart::Cart;
use domain::order::Order;
use domain::subscription::Subscription;
use event_feed::{FollowOptions, SafePosition};
use event_store::{Executor, ExecutorOptions, PgEventStore, StoreError, StoreSizes};
use kakaopay::{Cid, CidSecret, Client, ClientConfig, Merchant, SecretKey};
use service_kit::clock::SharedClock;
use service_kit::config::{ConfigError, Secret};
use service_kit::database_role::{RoleError, refuse_owner};
use service_kit::digest::Pepper;
use service_kit::http::{Health, ServeError, Version, ops_routes, serve};
use service_kit::pools::{PoolError, PoolSettings};
use service_kit::return_url::ReturnUrls;
use service_kit::shutdown::{self, Shutdown, ShutdownTrigger};
use service_kit::vault::{MasterKey, Vault};
use service_kit::{http, pools, telemetry};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::announce::Announcer;
use crate::config::WorkerConfig;
use crate::gateway::PaymentGateway;
use crate::gateway::kakaopay::{KakaoPayGateway, KakaoPayParts, Merchants};
use crate::gateway::lane::{Lane, LanePolicy};
use crate::metrics;
use crate::reactions::{
    EndedOrders, ExpiryIndex, PaidOrders, PaymentDifferences, PaymentIndex, Reactor, RefundIndex,
};
use crate::reconcile::{Pace, Reconciler};
use crate::relay::deliver::Delivery;
use crate::relay::{Carrier, Keys, Relay, Rows, Unavailable, WakeUp};
use crate::schedule::{self, Jobs};

/// The label of this process in metrics and log lines.
const SERVICE: &str = "worker";
/// Aggregates remembered: more than the relay has under way at once, not all there ever were.
const CACHE_ENTRIES: u64 = 4_000;
/// Connections of the event store: its appends and loads take about a millisecond, and calls of the
/// gateway wait without one.
const APPEND_CONNECTIONS: usize = 4;
const LOAD_CONNECTIONS: u32 = 2;

/// The worker's tables are queues, and every statement on them is meant for an index. Planned while
/// they are empty, as at every start, they would be read from end to end for ever: with 2,000 rows
/// under way a claim took 6 ms that way, and 0.3 ms this way.
pub const QUEUE_PLANS: &[(&str, &str)] = &[
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
];

/// Longest time until the relay hears of an event, while the log moves and while it rests: shoppers
/// wait for it, and a look costs a tenth of a millisecond.
const HINT_PAUSE_MIN: Duration = Duration::from_millis(4);
const HINT_PAUSE_MAX: Duration = Duration::from_millis(20);

/// Connections of a reconciliation on demand, beside the event store's.
const RECONCILE_CONNECTIONS: usize = 3;

/// Why `worker` did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A setting cannot be used.
    #[error("use the configuration")]
    Config(#[from] ConfigError),
    /// A pool cannot be made.
    #[error("set up connections")]
    Pool(#[from] PoolError),
    /// The event store cannot be opened.
    #[error("open the event store")]
    Store(#[from] StoreError),
    /// The client of KakaoPay cannot be made.
    #[error("set up the client of KakaoPay")]
    KakaoPay(#[from] kakaopay::ConfigError),
    /// The operators' address cannot be listened on.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The login could change the log.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// The operators' server ended.
    #[error("serve operators")]
    Serve(#[from] ServeError),
    /// The cron table cannot be read.
    #[error("read the schedule")]
    Schedule(#[from] croner::errors::CronError),
}

/// Binds the operators' address and works until `shutdown`.
///
/// # Errors
/// [`WorkerError`]; a database or a gateway that is away is none: the process starts, says so, and
/// recovers by itself.
pub async fn run(config: WorkerConfig, shutdown: Shutdown) -> Result<(), WorkerError> {
    let address = config.ops_listen;
    let ops = TcpListener::bind(address)
        .await
        .map_err(|source| WorkerError::Listen { address, source })?;
    let login =
        refuse_owner(config.may_own_database, config.database_url.clone(), shutdown.clone());
    let work = Box::pin(run_on(config, ops.into(), WakeUp::default(), shutdown));
    tokio::try_join!(work, async { login.await.map_err(WorkerError::from) })?;
    Ok(())
}

/// Works until `shutdown`, on an operators' socket that is bound already and with a relay that
/// `wake_up` wakes; for processes that hold several services.
///
/// # Errors
/// As [`run`].
pub async fn run_on(
    config: WorkerConfig,
    ops: http::Listener,
    wake_up: WakeUp,
    shutdown: Shutdown,
) -> Result<(), WorkerError> {
    config.check()?;
    describe_metrics();
    let recorder = telemetry::metrics();
    let clock = config.clock.shared();
    let settings =
        PoolSettings { size_max: config.database_connections_max, ..PoolSettings::named(SERVICE) };
    let pool = pools::postgres_tuned(&config.database_url, &settings, QUEUE_PLANS)?;
    let routes = ops_routes(health(&pool, &shutdown), recorder, version(&config));
    let parts = Parts::new(&config, pool, clock, wake_up.clone())?;

    // Should one part end by itself, the others end with it rather than go on without it.
    let (trigger, shutdown) = shutdown.child();
    say_limits(&config);
    tracing::info!("worker started");
    let follower = SafePosition::follow(
        parts.pool.clone(),
        Arc::clone(&parts.clock),
        FollowOptions {
            poll_min: HINT_PAUSE_MIN,
            poll_max: HINT_PAUSE_MAX,
            ..FollowOptions::default()
        },
        shutdown.clone(),
    );
    let safe = follower.safe();
    let reactor = Reactor { pool: parts.pool.clone(), safe, clock: Arc::clone(&parts.clock) };
    let waking = wake_on_events(follower.safe(), wake_up, shutdown.clone());
    let watching = Relay::watch(parts.rows.clone(), Arc::clone(&parts.clock), shutdown.clone());
    let paid = reactor.clone().run(parts.paid_orders(), shutdown.clone());
    let ended_orders = reactor.clone().run(parts.ended_orders(), shutdown.clone());
    let expiry = reactor.clone().run(ExpiryIndex, shutdown.clone());
    let payments = reactor.clone().run(PaymentIndex, shutdown.clone());
    let refunds = reactor.clone().run(RefundIndex, shutdown.clone());
    let differences = reactor.run(PaymentDifferences, shutdown.clone());
    let jobs = parts.jobs(shutdown.clone());
    let reconciler = parts.reconciler(shutdown.clone());
    let announcing = parts.announcer(config.takes_test_payments()).run(shutdown.clone());
    // So that a projector that is dead or stuck is reported by a process that is not.
    let (pool, clock) = (parts.pool.clone(), Arc::clone(&parts.clock));
    let lags = event_feed::report_read_model_lags(pool, clock, shutdown.clone());
    let relay = parts.relay(&config);
    // The operators' listener ends last, so that they see how the others end. Boxed, because a future
    // of this size is copied over the stack each time it is handed on.
    let (all_ended, ops_end) = shutdown::pair();
    let working = Box::pin(async {
        tokio::join!(
            relay.run(shutdown.clone()),
            paid,
            ended_orders,
            expiry,
            payments,
            refunds,
            differences,
            waking,
            watching,
            announcing,
            lags,
            ending_all(&trigger, schedule::run(jobs, reconciler, shutdown.clone())),
            follower.stopped(),
        )
    });
    let (ended, served) = tokio::join!(
        all_ended.after(working),
        ending_all(&trigger, serve(SERVICE, ops, routes, ops_end)),
    );
    let (_drained, (), (), (), (), (), (), (), (), (), (), scheduled, ()) = ended;
    scheduled?;
    served?;
    tracing::info!("worker stopped");
    Ok(())
}

fn health(pool: &Pool, shutdown: &Shutdown) -> Health {
    let feed = pool.clone();
    Health::new()
        .requires_postgres(pool.clone())
        .requires("event_feed", move || {
            let pool = feed.clone();
            async move { event_feed::is_feed_moving(&pool).await }
        })
        .until(shutdown.clone())
}

fn describe_metrics() {
    // A description before the recorder is there would be lost.
    drop(telemetry::metrics());
    metrics::describe();
    event_feed::metrics::describe();
    event_feed::metrics::describe_read_models();
    event_store::metrics::describe();
}

/// What holds our books against the gateway's that the configuration describes, on connections of
/// its own.
///
/// # Errors
/// A setting cannot be used.
pub fn reconciler(config: &WorkerConfig, shutdown: Shutdown) -> Result<Reconciler, WorkerError> {
    let clock = config.clock.shared();
    let settings =
        PoolSettings { size_max: RECONCILE_CONNECTIONS, ..PoolSettings::named("worker-reconcile") };
    let pool = pools::postgres(&config.database_url, &settings)?;
    let sizes = StoreSizes { append_connections: 1, load_connections: 2, ..StoreSizes::default() };
    let store = PgEventStore::open(&config.database_url, sizes)?;
    let options = ExecutorOptions { cache_entries: 0, ..ExecutorOptions::default() };
    Ok(Reconciler {
        pool,
        orders: Executor::new(store, options),
        gateway: gateway(config, &clock)?,
        clock,
        pace: Pace::default(),
        shutdown,
    })
}

/// The gateway that the configuration describes.
///
/// # Errors
/// A setting cannot be used.
pub fn gateway(
    config: &WorkerConfig,
    clock: &SharedClock,
) -> Result<Arc<dyn PaymentGateway>, WorkerError> {
    let policy = config.gateway;
    let pooled = client_config(config);
    let lane = |class: &'static str, lane: LanePolicy| {
        let client = Client::new(&pooled)?;
        Ok::<_, WorkerError>(Lane::new(class, client, lane, Arc::clone(clock)))
    };
    let (one_time, recurring) = merchants(config)?;
    Ok(Arc::new(KakaoPayGateway::new(KakaoPayParts {
        checkout: lane("checkout", policy.checkout)?,
        charge: lane("charge", policy.charge)?,
        look_up: lane("look_up", policy.look_up)?,
        fresh: Client::new(&ClientConfig { pool_idle_connections_max: 0, ..pooled.clone() })?,
        merchants: Merchants { one_time, recurring },
        return_urls: ReturnUrls::new(&config.return_url_key, &config.public_base_url)?,
        pepper: Pepper::new(&config.digest_pepper)?,
        clock: Arc::clone(clock),
    })))
}

/// How KakaoPay is called.
pub(crate) fn client_config(config: &WorkerConfig) -> ClientConfig {
    let key = SecretKey::new(config.kakaopay_secret_key.expose());
    ClientConfig {
        connect_timeout: config.gateway.connect_timeout,
        call_timeout: config.gateway.call_timeout,
        ..ClientConfig::new(config.kakaopay_base_url.clone(), key)
    }
}

/// The merchant codes for payments made once and for recurring ones.
///
/// # Errors
/// A code or its key cannot be used.
pub(crate) fn merchants(config: &WorkerConfig) -> Result<(Merchant, Merchant), ConfigError> {
    let one_time = (
        "KAKAOPAY_CID_ONE_TIME",
        &config.kakaopay_cid_one_time,
        config.kakaopay_cid_one_time_secret.as_ref(),
    );
    let recurring = (
        "KAKAOPAY_CID_RECURRING",
        &config.kakaopay_cid_recurring,
        config.kakaopay_cid_recurring_secret.as_ref(),
    );
    match (merchant(one_time), merchant(recurring)) {
        (Ok(one_time), Ok(recurring)) => Ok((one_time, recurring)),
        (Err(one), Err(other)) => Err(ConfigError::Several(vec![one, other])),
        (Err(fault), Ok(_)) | (Ok(_), Err(fault)) => Err(fault),
    }
}

fn merchant(
    (name, cid, secret): (&'static str, &String, Option<&Secret>),
) -> Result<Merchant, ConfigError> {
    let wrong = |name: &str| ConfigError::invalid(name, "expected it as KakaoPay issued it");
    let merchant = Merchant::new(Cid::new(cid).map_err(|_invalid| wrong(name))?);
    let Some(secret) = secret else {
        return Ok(merchant);
    };
    let secret_name = format!("{name}_SECRET");
    let secret = CidSecret::new(secret.expose()).map_err(|_invalid| wrong(&secret_name))?;
    Ok(merchant.with_secret(secret))
}

/// What the loops share.
struct Parts {
    pool: Pool,
    store: Arc<PgEventStore>,
    orders: Executor<Order>,
    carts: Executor<Cart>,
    subscriptions: Executor<Subscription>,
    vault: Vault,
    gateway: Arc<dyn PaymentGateway>,
    rows: Rows,
    owner: String,
    clock: SharedClock,
    is_clock_settable: bool,
    wake_up: WakeUp,
}

impl Parts {
    fn new(
        config: &WorkerConfig,
        pool: Pool,
        clock: SharedClock,
        wake_up: WakeUp,
    ) -> Result<Self, WorkerError> {
        let sizes = StoreSizes {
            append_connections: APPEND_CONNECTIONS,
            load_connections: LOAD_CONNECTIONS,
            ..StoreSizes::default()
        };
        let store = PgEventStore::open(&config.database_url, sizes)?;
        let options =
            ExecutorOptions { cache_entries: CACHE_ENTRIES, ..ExecutorOptions::default() };
        let vault = Vault::new(pool.clone(), MasterKey::from_base64(&config.master_key)?);
        // A fresh name each start: a worker never takes its predecessor's leases for its own.
        let owner = format!("worker-{}", Uuid::now_v7());
        Ok(Self {
            orders: Executor::new(Arc::clone(&store), options),
            carts: Executor::new(Arc::clone(&store), options),
            subscriptions: Executor::new(Arc::clone(&store), options),
            store,
            vault,
            gateway: gateway(config, &clock)?,
            rows: Rows::new(pool.clone(), owner.clone(), config.lease),
            owner,
            pool,
            clock,
            is_clock_settable: config.clock.is_settable(),
            wake_up,
        })
    }

    fn paid_orders(&self) -> PaidOrders {
        PaidOrders {
            orders: self.orders.clone(),
            carts: self.carts.clone(),
            subscriptions: self.subscriptions.clone(),
            vault: self.vault.clone(),
            clock: Arc::clone(&self.clock),
        }
    }

    fn ended_orders(&self) -> EndedOrders {
        EndedOrders {
            orders: self.orders.clone(),
            subscriptions: self.subscriptions.clone(),
            vault: self.vault.clone(),
            clock: Arc::clone(&self.clock),
        }
    }

    fn jobs(&self, shutdown: Shutdown) -> Jobs {
        Jobs {
            pool: self.pool.clone(),
            store: Arc::clone(&self.store),
            orders: self.orders.clone(),
            clock: Arc::clone(&self.clock),
            is_clock_settable: self.is_clock_settable,
            shutdown,
        }
    }

    fn reconciler(&self, shutdown: Shutdown) -> Reconciler {
        Reconciler {
            pool: self.pool.clone(),
            orders: self.orders.clone(),
            gateway: Arc::clone(&self.gateway),
            clock: Arc::clone(&self.clock),
            pace: Pace::default(),
            shutdown,
        }
    }

    fn announcer(&self, is_test: bool) -> Announcer {
        Announcer {
            gateway: Arc::clone(&self.gateway),
            pool: self.pool.clone(),
            worker: self.owner.clone(),
            clock: Arc::clone(&self.clock),
            is_test,
        }
    }

    fn relay(&self, config: &WorkerConfig) -> Relay {
        let carrier = Carrier {
            rows: self.rows.clone(),
            gateway: Arc::clone(&self.gateway),
            delivery: Delivery::new(self.orders.clone()),
            vault: self.vault.clone(),
            retries: config.retries,
            keys: Keys::default(),
            unavailable: Unavailable::default(),
            clock: Arc::clone(&self.clock),
        };
        let (rows, clock) = (self.rows.clone(), Arc::clone(&self.clock));
        Relay::new(carrier, rows, config.relay, clock, self.wake_up.clone())
    }
}

/// What this worker is, and whether it moves money.
fn version(config: &WorkerConfig) -> Version {
    let mode = if config.takes_test_payments() { "test" } else { "live" };
    Version::from(env!("CARGO_PKG_VERSION")).with("payment_mode", move || async move { mode })
}

/// What the calls of the gateway are held to, as it came out of the environment and the defaults.
fn say_limits(config: &WorkerConfig) {
    metrics::gateway_test_mode(config.is_test_mode);
    if config.is_test_mode {
        tracing::warn!("KAKAOPAY_TEST_MODE: orders are paid with test codes and no money moves");
    }
    let policy = &config.gateway;
    let lanes =
        [("checkout", policy.checkout), ("charge", policy.charge), ("look_up", policy.look_up)];
    for (class, lane) in lanes {
        tracing::info!(
            class,
            calls_max = lane.calls_max,
            calls_per_second = lane.rate.calls_per_second.get(),
            burst = lane.rate.burst.get(),
            place_wait = ?lane.place_wait,
            connect_timeout = ?policy.connect_timeout,
            call_timeout = ?policy.call_timeout,
            "limits of gateway calls"
        );
    }
}

async fn ending_all<T>(trigger: &ShutdownTrigger, work: impl Future<Output = T>) -> T {
    let ended = work.await;
    trigger.trigger();
    ended
}

/// Wakes the relay when something was recorded: an effect is recorded with its event. It is claimed
/// once it is committed, so the relay need not wait until the log is known to be settled there; but
/// it looks again then, for what was not committed yet at the first hint.
async fn wake_on_events(safe: SafePosition, wake_up: WakeUp, shutdown: Shutdown) {
    let (mut handed_out, mut settled) = (safe.subscribe_newest(), safe.subscribe());
    loop {
        let changed = tokio::select! {
            () = shutdown.requested() => return,
            changed = handed_out.changed() => changed,
            changed = settled.changed() => changed,
        };
        match changed {
            Ok(()) => wake_up.wake(),
            // The follower ends at shutdown alone.
            Err(_ended) => return,
        }
    }
}

//! A connection breaks at the n-th database call of the worker, for n = 1, 2, 3, … until a run makes
//! fewer calls: in the end the order is paid and half refunded, its lines have left the cart, its
//! subscriptions are open, and KakaoPay moved the money once each way.
//!
//! Relay and all reactions reach PostgreSQL through a proxy; shopper and watcher of the log do not.
//! Every n is covered: opening a connection, preparing, querying, and each end of a transaction. The
//! n are dealt out to [`SHOPS`] shops with a database each, because a run mostly waits. Reactions
//! begin when the relay has nothing left to do: they then find all events at once, and the same
//! statements are not gone through again for every event.
//!
//! With `STORE_TRIES_MAX` of `relay/carry.rs` at 1 (seen so) the recurring key is lost with the
//! connection that was to store it. With leases renewed for all rows of a worker, in hand or not
//! (`relay/sql/renew.sql`; seen so), the run in which a claim's answer is lost never ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::CartKind;
use contracts::events::OrderKind;
use domain::order::OrderStatus;
use event_feed::{SafePosition, Watcher, WatcherHandle, WatcherOptions};
use event_store::{Executor, ExecutorOptions, PgEventStore, StoreSizes};
use processes::WakeUp;
use processes::gateway::PaymentGateway;
use processes::reactions::{
    EndedOrders, ExpiryIndex, PaidOrders, PaymentDifferences, PaymentIndex, Reactor, RefundIndex,
};
use processes::relay::deliver::Delivery;
use processes::relay::{Carrier, Keys, Relay, RelayPolicy, Rows, Unavailable};
use service_kit::config::Secret;
use service_kit::pools::{self, PoolSettings};
use service_kit::shutdown::{self, ShutdownTrigger};
use service_kit::vault::{MasterKey, Vault};
use testkit::{CallProxy, Cut, Login};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::world::{Worker, World, clock, lines};

/// Shops that share the n among them and run at the same time.
const SHOPS: u64 = 6;
/// Fewer calls than any run makes, and more than any run makes.
const CALLS_MIN: u64 = 60;
const CALLS_MAX: u64 = 2_000;
/// Connections of relay and reactions: a fold uses two at once.
const CONNECTIONS: usize = 6;
/// What a claim whose answer was lost waits for.
const LEASE: Duration = Duration::from_secs(1);
/// How often the log is watched: seldom enough to leave the machine to the runs.
const WATCH_PAUSE: Duration = Duration::from_millis(30);
/// How often the outbox is looked at although nobody woke the relay: each look is a call to break.
const RELAY_POLL: Duration = Duration::from_millis(100);

/// How many events of each sort one run leaves.
type Events = BTreeMap<String, i64>;

/// A world whose workers have an unreliable way to the database.
struct Shop {
    world: World,
    proxy: CallProxy,
    through: Secret,
    safe: SafePosition,
    /// One for all runs: making its clients costs more than the rest of a run.
    gateway: Arc<dyn PaymentGateway>,
    _watcher: WatcherHandle,
    _trigger: ShutdownTrigger,
}

impl Shop {
    async fn new() -> Self {
        let world = World::new().await;
        let (proxy, through) = CallProxy::before(&world.db.url_as(Login::Worker)).await;
        let (trigger, shutdown) = shutdown::pair();
        let options = WatcherOptions {
            poll_min: WATCH_PAUSE,
            poll_max: WATCH_PAUSE,
            ..WatcherOptions::default()
        };
        let watcher = Watcher::start(world.db.pool.clone(), clock(), options, shutdown);
        let (safe, through) = (watcher.safe(), Secret::new(through));
        let gateway = world.gateway();
        Self { world, proxy, through, safe, gateway, _watcher: watcher, _trigger: trigger }
    }

    /// Relay and, from when they are `wanted`, reactions, put together as `run.rs` does.
    fn worker(&self, wake_up: WakeUp, wanted: oneshot::Receiver<()>) -> Worker<()> {
        let (trigger, shutdown) = shutdown::pair();
        let config = &self.world.config;
        // Few connections, so that a statement is prepared once or twice and not on each of many.
        let settings = PoolSettings { size_max: CONNECTIONS, ..PoolSettings::named("worker") };
        let pool = pools::postgres(&self.through, &settings).unwrap();
        let sizes =
            StoreSizes { append_connections: 1, load_connections: 1, ..StoreSizes::default() };
        let store = PgEventStore::open(&self.through, sizes).unwrap();
        let options = ExecutorOptions::default();
        let orders = Executor::new(Arc::clone(&store), options);
        let master = MasterKey::from_base64(&config.master_key).unwrap();
        let vault = Vault::new(pool.clone(), master);
        let rows = Rows::new(pool.clone(), format!("worker-{}", Uuid::now_v7()), LEASE);
        let carrier = Carrier {
            rows: rows.clone(),
            gateway: Arc::clone(&self.gateway),
            delivery: Delivery::new(orders.clone()),
            vault: vault.clone(),
            keys: Keys::default(),
            unavailable: Unavailable::default(),
            retries: config.retries,
            clock: clock(),
        };
        let subscriptions = Executor::new(Arc::clone(&store), options);
        let ended_orders = EndedOrders {
            orders: orders.clone(),
            subscriptions: subscriptions.clone(),
            vault: vault.clone(),
            clock: clock(),
        };
        let paid_orders = PaidOrders {
            orders,
            carts: Executor::new(Arc::clone(&store), options),
            subscriptions,
            vault,
            clock: clock(),
        };
        let policy = RelayPolicy { poll: RELAY_POLL, ..config.relay };
        let relay = Relay::new(carrier, rows, policy, clock(), wake_up);
        let reactor = Reactor { pool, safe: self.safe.clone(), clock: clock() };
        let work = async move {
            let until = shutdown.clone();
            let reacting = async move {
                wanted.await.unwrap();
                tokio::join!(
                    reactor.clone().run(paid_orders, until.clone()),
                    reactor.clone().run(ended_orders, until.clone()),
                    reactor.clone().run(ExpiryIndex, until.clone()),
                    reactor.clone().run(PaymentIndex, until.clone()),
                    reactor.clone().run(RefundIndex, until.clone()),
                    reactor.run(PaymentDifferences, until),
                );
            };
            tokio::join!(relay.run(shutdown), reacting);
        };
        Worker::of(tokio::spawn(work), trigger)
    }

    /// One order from the cart to its partial refund, by a worker of its own; what it left.
    async fn run(&self, shown: &str) -> Events {
        let world = &self.world;
        for line in lines(OrderKind::Subscription) {
            world.put_into_cart(CartKind::Subscription, line).await;
        }
        let before = world.number("select coalesce(max(position), 0) from events").await;
        let (want_reactions, wanted) = oneshot::channel();
        let wake_up = WakeUp::default();
        let worker = self.worker(wake_up.clone(), wanted);
        let order = world.place(OrderKind::Subscription, true).await;
        wake_up.wake();
        world.pay(order).await;
        wake_up.wake();
        world.is_paid_once(order).await;
        world.refund(order, 13_500).await;
        wake_up.wake();
        world.becomes(order, OrderStatus::PartlyRefunded).await;
        world.is_idle().await;
        want_reactions.send(()).unwrap();
        world.reactions_catch_up().await;
        worker.stop().await;

        let charges = world.charges(order);
        assert_eq!(charges.len(), 1, "{shown}: {charges:#?}");
        assert_eq!((charges[0].amount, charges[0].cancelled), (27_000, 13_500), "{shown}");
        assert_eq!(charges[0].cancels.len(), 1, "{shown}: {charges:#?}");
        assert!(world.cart(CartKind::Subscription).await.lines().is_empty(), "{shown}");
        for (what, sql) in [
            ("events set aside", "select count(*) from parked_reaction"),
            ("keys lost", "select count(*) from billing_keys where state = 'missing'"),
            ("orders to expire", "select count(*) from order_expiry"),
        ] {
            assert_eq!(world.number(sql).await, 0, "{shown}: {what}");
        }
        let count = "select aggregate_type || '/' || event_type, count(*)
                     from events where $1 < position group by 1";
        let rows = world.db.client().await.query(count, &[&before]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

/// The calls that are this shop's among `SHOPS`; how many there were in the last run.
async fn breaks_at_its_calls(cut: Cut, number: u64) -> u64 {
    let shop = Shop::new().await;
    let undisturbed = shop.run("undisturbed").await;
    let mut call = number;
    while call <= CALLS_MAX {
        let shown = format!("{cut:?} {call}");
        shop.proxy.cut_at(call, cut);
        assert_eq!(shop.run(&shown).await, undisturbed, "{shown}");
        if shop.proxy.calls() < call {
            return shop.proxy.calls();
        }
        call += SHOPS;
    }
    panic!("still breaking at call {CALLS_MAX}");
}

async fn breaks_at_every_call(cut: Cut) {
    let mut shops = JoinSet::new();
    for number in 1..=SHOPS {
        shops.spawn(breaks_at_its_calls(cut, number));
    }
    while let Some(calls) = shops.join_next().await {
        let calls = calls.unwrap();
        assert!(CALLS_MIN < calls, "{calls} calls are not the whole run");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_before_a_call() {
    breaks_at_every_call(Cut::BeforeCall).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_before_an_answer() {
    breaks_at_every_call(Cut::BeforeAnswer).await;
}

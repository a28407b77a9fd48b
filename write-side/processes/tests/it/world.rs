//! A shop of one user: a database, a simulated KakaoPay, and the commands that checkout-api sends.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use contracts::events::{OrderKind, ReturnedAs};
use contracts::personal::AddressPart;
use contracts::{
    Actor, Address, CartKey, CartKind, DiscountRate, ItemId, Metadata, OrderId, Period, Phone,
    Quantity, Receiver, ReceiverName, RefundId, ReportNo, Text, UserId, Won, seals,
};
use domain::cart::{AddItem, Cart, CartCommand};
use domain::item::ItemOffer;
use domain::order::{OfferedLine, Order, OrderCommand, OrderStatus, PlaceOrder, PlacedOrder};
use domain::subscription::Subscription;
use domain::{EventSourced, Principal};
use event_store::{CommandContext, Executor, ExecutorOptions, PgEventStore, StoreSizes};
use kakaopay_sim::{Charge, PayAction, SimConfig, SimHandle, Simulator};
use processes::gateway::PaymentGateway;
use processes::operator::By;
use processes::relay::deliver::Delivery;
use processes::relay::{Carrier, Drained, Keys, Relay, Rows, Unavailable};
use processes::{QUEUE_PLANS, WakeUp, WorkerConfig, WorkerError};
use service_kit::clock::{SharedClock, SystemClock};
use service_kit::pools::{self, PoolSettings};
use service_kit::shutdown::{self, ShutdownTrigger};
use service_kit::vault::{MasterKey, Vault};
use testkit::{Login, TestDatabase, eventually};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Longest wait for anything; a passing test never waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// 32 zero bytes.
pub(crate) const MASTER_KEY: &str = "Q0hBT1MtbWFzdGVyLWtleS0zMi1ieXRlcy1sb25nISE=";

pub(crate) struct World {
    pub(crate) db: TestDatabase,
    pub(crate) sim: SimHandle,
    pub(crate) config: WorkerConfig,
    pub(crate) orders: Executor<Order>,
    pub(crate) carts: Executor<Cart>,
    pub(crate) subscriptions: Executor<Subscription>,
    pub(crate) store: Arc<PgEventStore>,
    pub(crate) vault: Vault,
    pub(crate) user: UserId,
}

/// A worker under way. `kill` ends it where it stands, as losing its machine would.
pub(crate) struct Worker<T = Result<(), WorkerError>> {
    task: JoinHandle<T>,
    trigger: ShutdownTrigger,
}

impl<T> Worker<T> {
    pub(crate) const fn of(task: JoinHandle<T>, trigger: ShutdownTrigger) -> Self {
        Self { task, trigger }
    }

    /// Returns once nothing of it runs any more.
    pub(crate) async fn kill(self) {
        self.task.abort();
        drop(self.task.await);
    }

    pub(crate) async fn stop(self) -> T {
        self.trigger.trigger();
        self.task.await.unwrap()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(SimConfig::default()).await
    }

    pub(crate) async fn with(kakaopay: SimConfig) -> Self {
        let db = TestDatabase::fresh().await;
        let sim = Simulator::start(kakaopay).await.unwrap();
        let config = config(&db.url_as(Login::Worker), sim.base_url());
        let options = ExecutorOptions { cache_entries: 0, ..ExecutorOptions::default() };
        let store = PgEventStore::open(&config.database_url, StoreSizes::default()).unwrap();
        let vault =
            Vault::new(db.pool.clone(), MasterKey::from_base64(&config.master_key).unwrap());
        let user = UserId::new(Uuid::now_v7());
        vault.create_user_key(user).await.unwrap();
        Self {
            orders: Executor::new(Arc::clone(&store), options),
            carts: Executor::new(Arc::clone(&store), options),
            subscriptions: Executor::new(Arc::clone(&store), options),
            store,
            db,
            sim,
            config,
            vault,
            user,
        }
    }

    /// The whole worker, as its binary runs it.
    pub(crate) fn worker(&self) -> Worker {
        let (trigger, shutdown) = shutdown::pair();
        let ops = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let run = processes::run_on(self.config.clone(), ops.into(), WakeUp::default(), shutdown);
        Worker { task: tokio::spawn(run), trigger }
    }

    /// A relay alone, over any gateway.
    pub(crate) fn relay(&self, gateway: Arc<dyn PaymentGateway>) -> Worker<Drained> {
        let (trigger, shutdown) = shutdown::pair();
        let rows = self.rows(&format!("relay-{}", Uuid::now_v7()));
        let carrier = self.carrier(rows.clone(), gateway);
        let relay = Relay::new(carrier, rows, self.config.relay, clock(), WakeUp::default());
        Worker { task: tokio::spawn(relay.run(shutdown)), trigger }
    }

    /// The outbox on connections whose statements are planned as the worker's are.
    pub(crate) fn rows(&self, owner: &str) -> Rows {
        let settings = PoolSettings { size_max: 8, ..PoolSettings::named("rows") };
        let url = &self.config.database_url;
        let pool = pools::postgres_tuned(url, &settings, QUEUE_PLANS).unwrap();
        Rows::new(pool, owner.to_owned(), self.config.lease)
    }

    pub(crate) fn carrier(&self, rows: Rows, gateway: Arc<dyn PaymentGateway>) -> Carrier {
        Carrier {
            rows,
            gateway,
            delivery: Delivery::new(self.orders.clone()),
            vault: self.vault.clone(),
            retries: self.config.retries,
            keys: Keys::default(),
            unavailable: Unavailable::default(),
            clock: clock(),
        }
    }

    /// KakaoPay behind the port, as the worker has it.
    pub(crate) fn gateway(&self) -> Arc<dyn PaymentGateway> {
        processes::gateway(&self.config, &clock()).unwrap()
    }

    /// Places an order and asks to pay for it.
    pub(crate) async fn place(&self, kind: OrderKind, from_cart: bool) -> OrderId {
        let order_id = self.place_only(kind, from_cart).await;
        self.request_payment(order_id, kind).await;
        order_id
    }

    /// Places an order.
    pub(crate) async fn place_only(&self, kind: OrderKind, from_cart: bool) -> OrderId {
        let order_id = OrderId::new(Uuid::now_v7());
        let receiver = self
            .vault
            .seal(self.user, &seals::order_stream(order_id), seals::RECEIVER, &receiver())
            .await
            .unwrap();
        let place = PlaceOrder {
            by: Principal::User(self.user),
            order_id,
            kind,
            from_cart,
            lines: lines(kind),
            receiver,
            at: clock().now(),
        };
        self.send(order_id, OrderCommand::PlaceOrder(Box::new(place))).await;
        order_id
    }

    pub(crate) async fn request_payment(&self, order_id: OrderId, kind: OrderKind) {
        let current_offers = lines(kind).into_iter().map(|line| (line.item_id, offer(line)));
        let request = OrderCommand::RequestPayment {
            by: Principal::User(self.user),
            current_offers: current_offers.collect(),
            at: clock().now(),
        };
        self.send(order_id, request).await;
    }

    /// The shopper pays on the page and comes back.
    pub(crate) async fn pay(&self, order_id: OrderId) {
        let token = self.press_approve(order_id).await;
        self.come_back(order_id, token).await;
    }

    /// The shopper pays on the page; what the browser would bring back.
    pub(crate) async fn press_approve(&self, order_id: OrderId) -> String {
        let tid = self.page_of(order_id).await;
        let back = self.sim.press(&tid, PayAction::Approve).expect("a page to press");
        back.query_pairs().find(|(name, _)| name == "pg_token").unwrap().1.into_owned()
    }

    /// The browser comes back with a token, once or again.
    pub(crate) async fn come_back(&self, order_id: OrderId, token: String) {
        let pg_token = self
            .vault
            .seal(self.user, &seals::order_stream(order_id), seals::PG_TOKEN, &token)
            .await
            .unwrap();
        let token_mark = Text::parse(&token).ok();
        let returned_as = ReturnedAs::Authenticated { pg_token, token_mark };
        let attempt = self.order(order_id).await.latest_attempt().unwrap().number;
        let command = OrderCommand::RecordReturn { attempt, returned_as, at: clock().now() };
        self.send(order_id, command).await;
    }

    /// The tid, once the page is open.
    pub(crate) async fn page_of(&self, order_id: OrderId) -> String {
        eventually(PATIENCE, || async {
            let order = self.order(order_id).await;
            let page = order.latest_attempt().and_then(|attempt| attempt.page.clone());
            page.map(|page| page.tid.as_str().to_owned())
        })
        .await
    }

    pub(crate) async fn refund(&self, order_id: OrderId, amount: i64) -> RefundId {
        let refund_id = RefundId::new(Uuid::now_v7());
        let command = OrderCommand::RequestRefund {
            by: Principal::System,
            refund_id,
            amount: won(amount),
            attempt: None,
            reason: None,
            at: clock().now(),
        };
        self.send(order_id, command).await;
        refund_id
    }

    /// Waits until the order has this status.
    pub(crate) async fn becomes(&self, order_id: OrderId, status: OrderStatus) -> PlacedOrder {
        eventually(PATIENCE, || async {
            let order = self.order(order_id).await;
            (order.status() == status).then_some(order)
        })
        .await
    }

    /// Waits until nothing is left to carry out.
    pub(crate) async fn is_idle(&self) {
        eventually(PATIENCE, || async { (self.outbox_rows().await == 0).then_some(()) }).await;
    }

    pub(crate) async fn outbox_rows(&self) -> i64 {
        self.number("select count(*) from outbox").await
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.db.client().await.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.db.client().await.batch_execute(sql).await.unwrap();
    }

    /// As if the time of every lease had passed.
    pub(crate) async fn leases_run_out(&self) {
        self.execute("update outbox set lease_until = clock_timestamp() where state = 'in_flight'")
            .await;
    }

    /// Waits until every reaction has come to the end of the log.
    pub(crate) async fn reactions_catch_up(&self) {
        eventually(PATIENCE, || async {
            let behind = self
                .number(
                    "select count(*)
                     from (values ('paid_orders'), ('ended_orders'), ('expiry_index'), ('payment_index'),
                                  ('payment_differences'), ('refund_index')) as r (name)
                     left join reaction_checkpoint c using (name)
                     where coalesce(c.position, 0) < (select max(position) from events)",
                )
                .await;
            (behind == 0).then_some(())
        })
        .await;
    }

    /// What KakaoPay believes it charged for this order.
    pub(crate) fn charges(&self, order_id: OrderId) -> Vec<Charge> {
        let name = order_id.to_string();
        let of_order = |charge: &Charge| charge.partner_order_id.starts_with(&name);
        self.sim.ledger().charges.into_iter().filter(of_order).collect()
    }

    /// The order is paid, and KakaoPay charged its amount once.
    pub(crate) async fn is_paid_once(&self, order_id: OrderId) {
        let order = self.becomes(order_id, OrderStatus::Paid).await;
        let amounts: Vec<i64> = self.charges(order_id).iter().map(|it| it.amount).collect();
        assert_eq!(amounts, [order.total.amount()], "what KakaoPay charged");
    }

    pub(crate) async fn order(&self, order_id: OrderId) -> PlacedOrder {
        let loaded = self.orders.load(order_id.uuid()).await.unwrap();
        loaded.state.placed().expect("a placed order").clone()
    }

    pub(crate) async fn cart(&self, kind: CartKind) -> Cart {
        let key = CartKey { user_id: self.user, kind };
        self.carts.load(key.id().uuid()).await.unwrap().state
    }

    pub(crate) async fn put_into_cart(&self, kind: CartKind, line: OfferedLine) {
        let cart = CartKey { user_id: self.user, kind };
        let offer = offer(line.clone());
        let item = AddItem {
            item_id: line.item_id,
            item_name: line.name,
            quantity: line.quantity,
            period: line.period,
            unit_price: offer.unit_price,
            on_sale: true,
        };
        let command = CartCommand::AddItem { by: Principal::User(self.user), cart, item };
        self.carts.dispatch(cart.id().uuid(), command, context()).await.unwrap();
    }

    pub(crate) async fn send(&self, order_id: OrderId, command: OrderCommand) {
        self.orders.dispatch(order_id.uuid(), command, context()).await.unwrap();
    }
}

/// An operator at a terminal.
pub(crate) fn somebody() -> By {
    By { actor: Actor::System("operator".to_owned()), request_id: "at-the-terminal".to_owned() }
}

pub(crate) fn clock() -> SharedClock {
    SystemClock::shared()
}

pub(crate) fn context<A: EventSourced>() -> CommandContext<A> {
    CommandContext::new(Metadata {
        actor: Actor::System("test".to_owned()),
        correlation_id: Uuid::now_v7().to_string(),
        causation_id: None,
        idempotency_key: None,
    })
}

pub(crate) fn won(amount: i64) -> Won {
    Won::try_from(amount).unwrap()
}

/// Two lines of 2 and 1 pieces; 27,000 won in all.
pub(crate) fn lines(kind: OrderKind) -> Vec<OfferedLine> {
    let period = (kind == OrderKind::Subscription).then(|| Period::try_from(30).unwrap());
    let line = |number: u32, origin: i64, tenths: u16, quantity: i64| OfferedLine {
        item_id: ItemId::of(&ReportNo::try_from(format!("20040020000{number}")).unwrap()),
        name: Text::parse(&format!("홍삼정 {number}")).unwrap(),
        origin_price: won(origin),
        discount_rate: DiscountRate::try_from(tenths).unwrap(),
        on_sale: true,
        quantity: Quantity::try_from(quantity).unwrap(),
        period,
    };
    vec![line(1, 10_000, 100, 2), line(2, 9_000, 0, 1)]
}

fn offer(line: OfferedLine) -> ItemOffer {
    ItemOffer {
        unit_price: line.discount_rate.price_of(line.origin_price),
        name: line.name,
        origin_price: line.origin_price,
        discount_rate: line.discount_rate,
        on_sale: line.on_sale,
    }
}

pub(crate) fn receiver() -> Receiver {
    let part = |text| AddressPart::parse(text).unwrap();
    Receiver {
        name: ReceiverName::parse("홍길동").unwrap(),
        phone: Phone::parse("01012345678").unwrap(),
        address: Address {
            zip: part("04524"),
            city: part("서울 중구 세종대로 110"),
            detail: part("3층"),
        },
    }
}

/// The worker's own defaults, with pauses of milliseconds.
fn config(database_url: &str, kakaopay: &str) -> WorkerConfig {
    let mut config = WorkerConfig::load(|name| {
        let value = match name {
            "DATABASE_URL" => database_url,
            "KAKAOPAY_BASE_URL" => kakaopay,
            "KAKAOPAY_SECRET_KEY" => "DEV-test",
            "PUBLIC_BASE_URL" => "http://127.0.0.1:8080",
            "RETURN_URL_KEY" => "return key of the tests, 32 bytes or more",
            "DIGEST_PEPPER" => "pepper of the tests, 32 bytes or more",
            "MASTER_KEY" => MASTER_KEY,
            "RELAY_LEASE_MS" => "3000",
            "RELAY_POLL_MS" => "20",
            _ => return None,
        };
        Some(value.to_owned())
    })
    .unwrap();
    config.retries.pause_min = Duration::from_millis(5);
    config.retries.pause_max = Duration::from_millis(50);
    config.retries.refund_repeat_after = Duration::from_millis(50);
    config.retries.look_up_pause_min = Duration::from_millis(5);
    config.retries.look_up_pause_max = Duration::from_millis(50);
    config.retries.key_absent_for = Duration::from_millis(50);
    config
}

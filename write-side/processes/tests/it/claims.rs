//! Claims: a token that is never repeated, kinds that this worker knows, and a budget per class.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use contracts::events::OrderKind;
use domain::order::OrderStatus;
use processes::QUEUE_PLANS;
use processes::gateway::{
    Admission, BillingSecret, BillingStanding, CancelRequest, Capabilities, ChargeRequest,
    Checkout, CheckoutRequest, CompletionRequest, GivenBack, Outcome, Paid, PaymentGateway,
    PaymentQuestion, Standing,
};
use processes::relay::rows::{PutOff, RowClass, RowError, WaitingState};
use serde_json::Value;
use service_kit::clock::BoxFuture;
use service_kit::pools::{self, PoolSettings};
use testkit::eventually;
use tokio::sync::Notify;
use tokio_postgres::Client;

use crate::world::{PATIENCE, World};

/// F6: the database crashed before a claim reached the disk, the worker lived on, and its first task
/// still tries to put the row off. With a counter in the row as the token (seen so) the same worker
/// gets the same claim again, and the first task's write meets it.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_the_database_forgot_is_not_handed_out_again() {
    let world = World::new().await;
    world.place(OrderKind::OneOff, false).await;
    let rows = world.rows("worker");
    let before = "create table before_the_crash as select * from outbox";
    world.execute(before).await;
    let forgotten = rows.claim(RowClass::Shopper, 1).await.unwrap().pop().expect("a row to claim");
    world
        .execute(
            "update outbox o
             set    state = b.state, lease_owner = b.lease_owner, lease_until = b.lease_until,
                    fence = b.fence, attempt = b.attempt
             from   before_the_crash b
             where  o.id = b.id",
        )
        .await;
    let again =
        rows.claim(RowClass::Shopper, 1).await.unwrap().pop().expect("the claim is forgotten");
    let put_off = PutOff {
        state: WaitingState::Waiting,
        pause: Duration::ZERO,
        is_counted: true,
        is_unsent: false,
        why: String::new(),
    };
    let late = rows.put_off(&forgotten, &put_off).await;
    assert!(matches!(late, Err(RowError::LeaseLost)), "{late:?}");
    rows.finish(&again).await.unwrap();
}

/// An older task of this worker and its newer one write at once, in one pack. With the row as the
/// answer to the pack instead of the claim both would be told that they may call the gateway.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_claim_in_the_pack_of_the_new_one_is_lost() {
    let world = World::new().await;
    world.place(OrderKind::OneOff, false).await;
    let rows = world.rows("worker");
    let older = rows.claim(RowClass::Shopper, 1).await.unwrap().pop().expect("a row to claim");
    world.leases_run_out().await;
    let newer = rows.claim(RowClass::Shopper, 1).await.unwrap().pop().expect("the lease ran out");
    for _ in 0..20 {
        let request = serde_json::json!({});
        let (lost, stored) = tokio::join!(
            rows.store_request(&older, &request),
            rows.store_request(&newer, &request)
        );
        assert!(matches!(lost, Err(RowError::LeaseLost)), "{lost:?}");
        stored.unwrap();
    }
}

/// F15: in a rolling deploy the worker of the release before meets kinds that it cannot execute.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_a_kind_that_this_worker_does_not_know_is_left_alone() {
    let world = World::new().await;
    world.place(OrderKind::OneOff, false).await;
    world.execute("update outbox set kind = 'subscription_charge', payload = '{}'").await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.pay(order).await;
    world.becomes(order, OrderStatus::Paid).await;
    let untouched = "select count(*) from outbox where state = 'ready' and attempt = 0";
    assert_eq!(world.number(untouched).await, 1);
    // Not even once a lease of another worker has run out.
    world
        .execute(
            "update outbox
             set    state = 'in_flight', lease_owner = 'newer', lease_until = clock_timestamp()",
        )
        .await;
    let order = world.place(OrderKind::OneOff, false).await;
    world.pay(order).await;
    world.becomes(order, OrderStatus::Paid).await;
    assert_eq!(world.number("select count(*) from outbox where lease_owner = 'newer'").await, 1);
    worker.stop().await.unwrap();
}

/// Refunds never end, and pages are opened elsewhere: what counts is when a call comes.
#[derive(Debug)]
struct Clogged {
    inner: Arc<dyn PaymentGateway>,
    refunds: AtomicUsize,
    page_asked_for: Notify,
}

impl PaymentGateway for Clogged {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn begin_checkout<'a>(
        &'a self,
        request: &'a CheckoutRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<Checkout>> {
        self.page_asked_for.notify_one();
        self.inner.begin_checkout(request, admission)
    }

    fn complete_checkout<'a>(
        &'a self,
        request: &'a CompletionRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<Paid>> {
        self.inner.complete_checkout(request, admission)
    }

    fn charge<'a>(
        &'a self,
        request: &'a ChargeRequest,
        admission: Admission,
    ) -> BoxFuture<'a, Outcome<Paid>> {
        self.inner.charge(request, admission)
    }

    fn look_up<'a>(&'a self, question: &'a PaymentQuestion) -> BoxFuture<'a, Outcome<Standing>> {
        self.inner.look_up(question)
    }

    fn cancel<'a>(
        &'a self,
        _request: &'a CancelRequest,
        _admission: Admission,
    ) -> BoxFuture<'a, Outcome<GivenBack>> {
        self.refunds.fetch_add(1, Ordering::Relaxed);
        Box::pin(pending())
    }

    fn deactivate<'a>(&'a self, key: &'a BillingSecret) -> BoxFuture<'a, Outcome<()>> {
        self.inner.deactivate(key)
    }

    fn billing_status<'a>(
        &'a self,
        key: &'a BillingSecret,
    ) -> BoxFuture<'a, Outcome<BillingStanding>> {
        self.inner.billing_status(key)
    }
}

/// A backlog of refunds, each of an order of its own, all older than any shopper's row.
const REFUNDS: &str = "
    insert into outbox (id, aggregate_type, aggregate_id, sequence, effect_index, kind, payload,
                        correlation_id, not_before, created_at)
    select gen_random_uuid(), 'order', gen_random_uuid()::text, 1, 0, 'payment_cancel',
           jsonb_build_object('payment_cancel', jsonb_build_object(
             'terms', o.payload #> '{payment_ready,terms}', 'refund_id', gen_random_uuid(),
             'tid', 'T1', 'amount', 5000, 'tax_free', 0, 'refundable_before', 27000)),
           'backlog', o.not_before - g * interval '1 second', o.created_at - g * interval '1 second'
    from   outbox o, generate_series(1, 10000) g";

/// Payment pages asked for one after another: the median of how long each took to reach the gateway.
async fn median_delay(world: &World, gateway: &Clogged) -> Duration {
    let mut delays = Vec::new();
    for _ in 0..21 {
        let placed = world.place_only(OrderKind::OneOff, false).await;
        let begun = Instant::now();
        world.request_payment(placed, OrderKind::OneOff).await;
        gateway.page_asked_for.notified().await;
        delays.push(begun.elapsed());
    }
    delays.sort();
    delays[delays.len() / 2]
}

/// With one budget and one queue for all kinds (seen so) the relay takes 3,000 refunds in hand, and no
/// shopper's row is claimed until they end.
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_in_the_background_delays_no_shopper() {
    let world = World::new().await;
    let inner = world.gateway();
    let refunds = AtomicUsize::new(0);
    let gateway = Arc::new(Clogged { inner, refunds, page_asked_for: Notify::new() });
    world.place(OrderKind::OneOff, false).await;
    world.execute(REFUNDS).await;
    world
        .execute("create table backlog as select * from outbox where kind = 'payment_cancel'")
        .await;
    world.execute("delete from outbox where kind = 'payment_cancel'; analyze outbox").await;
    let relay = world.relay(Arc::clone(&gateway) as _);
    let idle = median_delay(&world, &gateway).await;
    let columns = "id, aggregate_type, aggregate_id, sequence, effect_index, kind, payload,
                   correlation_id, not_before, created_at";
    world.execute(&format!("insert into outbox ({columns}) select {columns} from backlog")).await;
    eventually(PATIENCE, || async {
        (64 <= gateway.refunds.load(Ordering::Relaxed)).then_some(())
    })
    .await;

    let busy = median_delay(&world, &gateway).await;
    assert!(busy < idle + Duration::from_millis(50), "{busy:?} instead of {idle:?}");
    let claimed = "select count(*) from outbox where kind = 'payment_cancel' and state <> 'ready'";
    assert_eq!(world.number(claimed).await, 64, "the budget of the background");
    relay.kill().await;
}

/// Blocks that the statement `name` touches, prepared before on the same connection.
async fn blocks_of(client: &Client, execute: &str) -> i64 {
    let explain = format!("explain (analyze, buffers, timing off, format json) {execute}");
    let row = client.query_one(&explain, &[]).await.unwrap();
    let plan: Value = row.get(0);
    let plan = &plan[0]["Plan"];
    plan["Shared Hit Blocks"].as_i64().unwrap() + plan["Shared Read Blocks"].as_i64().unwrap()
}

/// Planned while the outbox is empty, as after any quiet hour, a claim walked an index from end to end
/// once for each due row (seen so: 1.6 million blocks for 128 of 1,700 rows, two seconds), and a renewal
/// likewise.
#[tokio::test(flavor = "multi_thread")]
async fn claims_and_renewals_stay_cheap_when_they_were_planned_for_an_empty_outbox() {
    let world = World::new().await;
    world.place(OrderKind::OneOff, false).await;
    world.execute(REFUNDS).await;
    world.execute("create table backlog as select * from outbox limit 2000").await;
    world.execute("delete from outbox").await;
    world.execute("vacuum (analyze) outbox").await;
    let url = &world.config.database_url;
    let pool = pools::postgres_tuned(url, &PoolSettings::named("plans"), QUEUE_PLANS).unwrap();
    let client = pool.get().await.unwrap();
    let claim_due = include_str!("../../src/relay/sql/claim_due.sql");
    let renew = include_str!("../../src/relay/sql/renew.sql");
    let claim = "execute claim_due('w', 20000, 128, 'background', '{payment_cancel}')";
    let renew_of =
        |ids: &str, claims: &str| format!("execute renew('w', 20000, '{ids}', '{claims}')");
    let none = renew_of("{}", "{}");
    client
        .batch_execute(&format!(
            "prepare claim_due (text, bigint, bigint, text, text[]) as {claim_due};
             prepare renew (text, bigint, uuid[], uuid[]) as {renew};
             {claim}; {none}"
        ))
        .await
        .unwrap();
    let columns = "id, aggregate_type, aggregate_id, sequence, effect_index, kind, payload,
                   correlation_id, not_before, created_at";
    let insert = format!(
        "insert into outbox ({columns})
         select {columns} from backlog where kind = 'payment_cancel'"
    );
    world.execute(&insert).await;

    let claiming = blocks_of(&client, claim).await;
    assert!(claiming < 128 * 60, "{claiming} blocks for a claim of 128 rows");
    world
        .execute(
            "update outbox set state = 'in_flight', lease_owner = 'w', claim = gen_random_uuid(),
                    lease_until = clock_timestamp() + interval '1 second'",
        )
        .await;
    let held =
        "select array_agg(id order by id)::text, array_agg(claim order by id)::text from outbox";
    let held = client.query_one(held, &[]).await.unwrap();
    let renewing = blocks_of(&client, &renew_of(held.get(0), held.get(1))).await;
    assert!(renewing < 2_000 * 60, "{renewing} blocks for a renewal of 2,000 rows");
}

//! Unpaid orders expire when their time is over, and no order whose money may be moving does.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use contracts::Text;
use contracts::events::{OrderKind, RedirectUrls};
use domain::order::{OrderCommand, OrderStatus};
use kakaopay_sim::{ClockChange, Fault, FaultScript, Operation, When};
use processes::schedule::Jobs;
use service_kit::clock::ManualClock;
use service_kit::shutdown::Shutdown;
use testkit::eventually;

use crate::world::{PATIENCE, World, clock};

/// The schedule's jobs, as of `ahead` from now.
fn jobs(world: &World, ahead: TimeDelta) -> Jobs {
    Jobs {
        pool: world.db.pool.clone(),
        store: Arc::clone(&world.store),
        orders: world.orders.clone(),
        clock: ManualClock::at(clock().now() + ahead).shared(),
        is_clock_settable: true,
        shutdown: Shutdown::never(),
    }
}

async fn indexed(world: &World, rows: i64) {
    eventually(PATIENCE, || async {
        (world.number("select count(*) from order_expiry").await == rows).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_nobody_pays_expires_in_its_time() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.page_of(order).await;
    indexed(&world, 1).await;
    assert_eq!(jobs(&world, TimeDelta::minutes(14)).expire_orders().await.unwrap(), 0);
    assert_eq!(jobs(&world, TimeDelta::minutes(16)).expire_orders().await.unwrap(), 1);
    world.becomes(order, OrderStatus::Expired).await;
    assert_eq!(jobs(&world, TimeDelta::minutes(16)).expire_orders().await.unwrap(), 0);
    indexed(&world, 0).await;
    worker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_with_an_approval_under_way_is_left_alone() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.page_of(order).await;
    indexed(&world, 1).await;
    let held = FaultScript::of(Operation::Approve, When::Always, Fault::CommitThenHold);
    world.sim.set_faults(held);
    world.pay(order).await;
    world.sim.calls_reach(Operation::Approve, 1).await;
    assert_eq!(jobs(&world, TimeDelta::minutes(20)).expire_orders().await.unwrap(), 0);
    assert_eq!(world.number("select count(*) from order_expiry").await, 1, "asked again later");

    world.sim.clear_faults();
    world.is_paid_once(order).await;
    indexed(&world, 0).await;
    worker.stop().await.unwrap();
}

/// F18: a worker whose clock is wrong ends nothing and removes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_a_wrong_clock_expires_no_order_and_removes_nothing() {
    let world = World::new().await;
    let worker = world.worker();
    let paid = world.place(OrderKind::OneOff, false).await;
    world.pay(paid).await;
    world.is_paid_once(paid).await;
    world.is_idle().await;
    let order = world.place(OrderKind::OneOff, false).await;
    world.page_of(order).await;
    indexed(&world, 1).await;
    worker.stop().await.unwrap();
    let wrong = Jobs { is_clock_settable: false, ..jobs(&world, TimeDelta::days(31)) };
    assert_eq!(wrong.expire_orders().await.unwrap(), 0);
    assert_eq!(wrong.clean_up().await.unwrap(), 0);
    let right = Jobs { is_clock_settable: false, ..jobs(&world, TimeDelta::seconds(30)) };
    assert!(right.is_clock_right().await.unwrap() && !wrong.is_clock_right().await.unwrap());
    // Not even a clock that is set by hand removes what the database's clock still keeps.
    assert_eq!(jobs(&world, TimeDelta::days(31)).clean_up().await.unwrap(), 0);
    assert_eq!(world.order(order).await.status(), OrderStatus::AwaitingPayment);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_asks_for_any_more_is_removed() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    world.is_idle().await;
    let now = jobs(&world, TimeDelta::zero());
    assert_eq!(now.clean_up().await.unwrap(), 0, "nothing is old yet");
    let old = "update outbox_done set updated_at = updated_at - interval '31 days'";
    world.execute(old).await;
    // Two rows carried out that are old, and two receipts of settlements told that aren't.
    assert_eq!(now.clean_up().await.unwrap(), 2);
    assert_eq!(world.number("select count(*) from outbox_done").await, 0);
    let expire = "update command_receipts set expires_at = clock_timestamp()";
    world.db.client().await.execute(expire, &[]).await.unwrap();
    assert_eq!(jobs(&world, TimeDelta::zero()).clean_up().await.unwrap(), 2);
    worker.stop().await.unwrap();
}

/// A page that was opened late lives as long as any other, and the order with it. The index reads the
/// page in a later batch than the order, so that the row is there; with `keep_from_expiry.sql` changing
/// no row (seen so) the order is due with its own end.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_due_when_its_page_ends() {
    let world = World::new().await;
    let order = world.place(OrderKind::OneOff, false).await;
    // The relay is kept from opening a page of its own.
    world.execute("update outbox set not_before = clock_timestamp() + interval '1 hour'").await;
    let worker = world.worker();
    indexed(&world, 1).await;
    let url = || Text::parse("https://pay.example/page").unwrap();
    let ready_at = clock().now().trunc_subsecs(6);
    let ends = ready_at + TimeDelta::minutes(40);
    let page = OrderCommand::RecordReady {
        attempt: 1,
        tid: Text::parse("T1").unwrap(),
        redirect: RedirectUrls { pc: url(), mobile: url(), app: url() },
        ready_at,
        expires_at: ends,
        cid: None,
    };
    world.send(order, page).await;
    world.reactions_catch_up().await;
    let row = world.db.client().await;
    let row = row.query_one("select expires_at, not_before from order_expiry", &[]).await.unwrap();
    assert_eq!((row.get::<_, DateTime<Utc>>(0), row.get::<_, DateTime<Utc>>(1)), (ends, ends));
    assert_eq!(jobs(&world, TimeDelta::minutes(39)).expire_orders().await.unwrap(), 0);
    assert_eq!(jobs(&world, TimeDelta::minutes(41)).expire_orders().await.unwrap(), 1);
    worker.stop().await.unwrap();
}

/// KakaoPay's clock is wrong. With the time that it states as the page's opening, an order expires the
/// moment its page is there (1,000 s ahead), or has a page that is over before it is shown (nine hours
/// back).
#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_clock_expires_no_order() {
    let world = World::new().await;
    let worker = world.worker();
    for seconds in [1_000, -9 * 3_600] {
        world.sim.clock().change(ClockChange::AdvanceSeconds(seconds));
        let before = clock().now();
        let order = world.place(OrderKind::OneOff, false).await;
        world.page_of(order).await;
        let after = clock().now();
        let order = world.order(order).await;
        assert_eq!(order.status(), OrderStatus::AwaitingPayment, "{seconds}");
        let page = order.latest_attempt().unwrap().page.clone().unwrap();
        assert!(before <= page.ready_at && page.ready_at <= after, "{seconds}: {page:?}");
        assert_eq!(page.expires_at, page.ready_at + TimeDelta::minutes(15), "{seconds}");
        world.sim.clock().change(ClockChange::System(true));
    }
    worker.stop().await.unwrap();
}

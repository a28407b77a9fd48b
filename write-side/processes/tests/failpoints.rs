//! A worker dies at each place between two of its effects, at its first, second, … coming there, and
//! the next worker ends the work: the same events as if nobody had died, and KakaoPay moved the
//! money once each way.
//!
//! The run passes every point of [`Point::ALL`] (which it asserts): an approval that is lost on its
//! way and a refund whose answer is lost make it look up and put off. The points are global to the
//! process, so this is one test and a binary of its own.
//!
//! With the checkpoint moved before the commands in `reactions/paid_orders.rs` (seen so) lines stay in
//! the cart; without `unknown_for` in `relay/rows.rs` (seen so) the refund is asked for again and
//! again, and no run ends.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "shared with the tests that need no failpoints")]
#[path = "it/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::CartKind;
use contracts::events::OrderKind;
use domain::order::OrderStatus;
use event_feed::{Watcher, WatcherHandle, WatcherOptions};
use kakaopay_sim::{Fault, FaultRule, FaultScript, Operation, When};
use processes::failpoints::{self, Point};
use service_kit::shutdown::{self, ShutdownTrigger};

use crate::world::{World, clock, lines};

/// How often the log is watched.
const PAUSE: Duration = Duration::from_millis(10);

/// Where a worker dies: at a point, when somebody comes there so many times.
type Death = (Point, u64);

/// What is in the tables.
#[derive(Debug, PartialEq, Eq)]
struct End {
    /// Every sort of event, and how many of it there are.
    events: BTreeMap<String, i64>,
    /// What else there is, each table by one number.
    rows: [i64; 5],
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_anywhere_is_followed_by_one_that_ends_its_work() {
    let undisturbed = run(&Shop::new().await, None).await;
    assert_eq!(undisturbed.rows, [0, 3, 0, 1, 0], "{undisturbed:?}");
    let hits: Vec<u64> = Point::ALL.iter().map(|point| point.hits()).collect();
    for (point, hits) in Point::ALL.iter().zip(hits) {
        assert!(0 < hits, "no run comes to {}", point.name());
        let shop = Shop::new().await;
        for hit in 1..=hits {
            let death = (*point, hit);
            assert_eq!(run(&shop, Some(death)).await, undisturbed, "{death:?}");
        }
    }
}

/// A world whose log is watched, as a projector would: without that, every worker first waits
/// whether somebody does.
struct Shop {
    world: World,
    _watcher: WatcherHandle,
    _trigger: ShutdownTrigger,
}

impl Shop {
    async fn new() -> Self {
        let world = World::new().await;
        let (trigger, shutdown) = shutdown::pair();
        let options =
            WatcherOptions { poll_min: PAUSE, poll_max: PAUSE, ..WatcherOptions::default() };
        let watcher = Watcher::start(world.db.pool.clone(), clock(), options, shutdown);
        Self { world, _watcher: watcher, _trigger: trigger }
    }
}

/// One order from the cart to its partial refund, with at most one death on the way; what it left.
async fn run(Shop { world, .. }: &Shop, death: Option<Death>) -> End {
    let before = End::of(world).await;
    let lost = "select count(*) from billing_keys where state = 'missing'";
    let lost_before = world.number(lost).await;
    for line in lines(OrderKind::Subscription) {
        world.put_into_cart(CartKind::Subscription, line).await;
    }
    world.sim.set_faults(FaultScript {
        seed: 0,
        rules: vec![
            FaultRule::new(Operation::Approve, When::Call(1), Fault::DropBeforeCommit),
            FaultRule::new(Operation::Cancel, When::Call(1), Fault::CommitThenDrop),
        ],
    });
    if let Some((point, hit)) = death {
        let passing = (1 < hit).then(|| format!("{}*off->", hit - 1)).unwrap_or_default();
        failpoints::configure(&format!("{}={passing}1*return", point.name())).unwrap();
    }
    let mut worker = world.worker();
    let shopping = async {
        let order = world.place(OrderKind::Subscription, true).await;
        world.pay(order).await;
        world.is_paid_once(order).await;
        world.refund(order, 13_500).await;
        world.becomes(order, OrderStatus::PartlyRefunded).await;
        world.is_idle().await;
        world.reactions_catch_up().await;
        order
    };
    tokio::pin!(shopping);
    let mut has_died = false;
    let order = loop {
        tokio::select! {
            order = &mut shopping => break order,
            () = failpoints::died() => {
                has_died = true;
                worker.kill().await;
                world.leases_run_out().await;
                worker = world.worker();
            }
        }
    };
    // One who comes to the point after the last effect dies when the shopper is content already.
    tokio::select! {
        stopped = worker.stop() => stopped.unwrap(),
        () = failpoints::died() => {
            has_died = true;
            let next = world.worker();
            world.reactions_catch_up().await;
            next.stop().await.unwrap();
        }
    }
    if let Some((point, hit)) = death {
        failpoints::configure(&format!("{}=off", point.name())).unwrap();
        // How many events a fold finds at once is a matter of time; all else comes as it came.
        let is_fold = matches!(point, Point::BeforeFoldCommit | Point::AfterFoldCommit);
        assert!(has_died || (is_fold && 1 < hit), "nobody came there: {death:?}");
    }

    let charges = world.charges(order);
    assert_eq!(charges.len(), 1, "{death:?}: {charges:#?}");
    assert_eq!((charges[0].amount, charges[0].cancelled), (27_000, 13_500), "{death:?}");
    assert_eq!(charges[0].cancels.len(), 1, "{death:?}: {charges:#?}");
    assert!(world.cart(CartKind::Subscription).await.lines().is_empty(), "{death:?}");
    // The key is lost only with its answer, before anything was stored. A fold comes along at any
    // time, and takes a relay with it that may have the answer in its hands.
    let may_be_lost = matches!(
        death,
        Some((Point::AfterAnswer | Point::BeforeFoldCommit | Point::AfterFoldCommit, _))
    );
    assert!(world.number(lost).await == lost_before || may_be_lost, "{death:?}");
    End::of(world).await.since(&before)
}

impl End {
    async fn of(world: &World) -> Self {
        let count = "select aggregate_type || '/' || event_type, count(*) from events group by 1";
        let rows = world.db.client().await.query(count, &[]).await.unwrap();
        Self {
            events: rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
            rows: [
                world.number("select count(*) from outbox").await,
                world.number("select count(*) from outbox_done").await,
                world.number("select count(*) from order_expiry").await,
                world.number("select count(*) from payment_index where state = 'approved'").await,
                world.number("select count(*) from parked_reaction").await,
            ],
        }
    }
    /// What was added.
    fn since(mut self, before: &Self) -> Self {
        for (event, count) in &mut self.events {
            *count -= before.events.get(event).unwrap_or(&0);
        }
        self.events.retain(|_, count| *count != 0);
        for (rows, before) in self.rows.iter_mut().zip(before.rows) {
            *rows -= before;
        }
        self
    }
}

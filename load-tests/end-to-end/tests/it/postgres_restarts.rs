//! PostgreSQL ends and starts again, cleanly and by a crash, while shoppers pay: every order becomes
//! PAID with one charge, and the shop goes on without being started again.
//!
//! The scenario: calls to the gateway are out while the database goes away, so answers arrive that
//! cannot be written down, and commits end without an answer. What saves us is that a worker keeps
//! trying to store what it heard and then leaves the row in doubt (`Stop::after_call` in the relay's
//! `carry.rs`), and that an append whose answer was lost is recognised by its `command_id`.
//!
//! Which of them a run needs depends on where the restarts meet it; the exact schedules are in the
//! event store's `tests/lost_answers.rs` and in `bad_network.rs`.

use std::time::Duration;

use kakaopay_sim::FaultScript;
use serde_json::json;
use testkit::{Durability, PrivatePostgres, eventually};
use tokio::task::JoinSet;

use crate::support::{history, is_paid_once, order, patiently, pay_patiently, times, visit, world};

/// Who shops at the same time.
const SHOPPERS: usize = 4;
/// Orders each of them pays.
const ORDERS_EACH: usize = 2;
/// Longest until the gateway has charged as much as the next restart waits for.
const PROGRESS_WAIT_MAX: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_and_a_crash_of_postgres_while_shoppers_pay_lose_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let started = PrivatePostgres::start(folder.path(), 0, Durability::Durable).await;
    let mut postgres = started.unwrap();
    let url = postgres.database("pillivery").await.unwrap();
    let world = world().await.with("DATABASE_URL", &url);
    let shop = world.start_shop().await;
    let slow = json!([{ "fault": { "kind": "latency_uniform", "min_ms": 20, "max_ms": 200 } }]);
    world.kakaopay.set_faults(FaultScript::from_json(&slow).unwrap());

    let mut visits = JoinSet::new();
    for _ in 0..SHOPPERS {
        let at = shop.at.clone();
        visits.spawn(async move {
            let (shopper, first) = visit(&at, "one-off").await;
            let mut orders = vec![first];
            while orders.len() < ORDERS_EACH {
                let next = patiently(|| order(&shopper, "one-off")).await;
                pay_patiently(&shopper, &next).await;
                orders.push(next);
            }
            (shopper, orders)
        });
    }
    for (charges, is_crash) in [(1, false), (4, true)] {
        eventually(PROGRESS_WAIT_MAX, || async {
            (charges <= world.kakaopay.ledger().totals.charges).then_some(())
        })
        .await;
        let outcome =
            if is_crash { postgres.crash_and_restart().await } else { postgres.restart().await };
        outcome.unwrap();
    }

    for (shopper, orders) in visits.join_all().await {
        for order in &orders {
            is_paid_once(&world, &shopper, order).await;
            let history = history(&url, order).await;
            assert_eq!(times(&history, "PaymentApproved"), 1, "{history:?}");
        }
    }
    let charges = world.kakaopay.ledger().totals.charges;
    assert_eq!(charges, u64::try_from(SHOPPERS * ORDERS_EACH).unwrap());
}

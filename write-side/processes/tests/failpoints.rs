//! A worker dies at each of the named places of `src/failpoints.rs`, and the next one ends the work.
//!
//! Needs the feature `failpoints`: `cargo test -p processes --features failpoints`. The places are
//! global to the process, so this is one test and a binary of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "shared with the tests that need no failpoints")]
#[path = "it/world.rs"]
mod world;

use contracts::events::OrderKind;
use kakaopay_sim::Operation;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_anywhere_is_followed_by_one_that_ends_its_work() {
    for place in ["relay::after_gateway_answer", "relay::before_record", "relay::after_record"] {
        let world = World::new().await;
        let first = world.worker();
        let order = world.place(OrderKind::Subscription, false).await;
        let token = world.press_approve(order).await;
        world.is_idle().await;

        processes::configure_failpoints(&format!("{place}=return")).unwrap();
        world.come_back(order, token).await;
        world.sim.calls_reach(Operation::Approve, 1).await;
        first.stop().await.unwrap();
        assert_eq!(world.outbox_rows().await, 1, "{place}: the row is left behind");

        processes::configure_failpoints(&format!("{place}=off")).unwrap();
        world.leases_run_out().await;
        let second = world.worker();
        world.is_paid_once(order).await;
        world.is_idle().await;
        assert_eq!(world.sim.ledger().calls(Operation::Approve).arrived, 1, "{place}");
        // The key is lost only where its answer was: before anything was stored.
        let state = if place == "relay::after_gateway_answer" { "missing" } else { "active" };
        let kept = format!("select count(*) from billing_keys where state = '{state}'");
        assert_eq!(world.number(&kept).await, 1, "{place}");
        second.stop().await.unwrap();
    }
}

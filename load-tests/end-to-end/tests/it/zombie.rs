//! A shop that stands still while its call is out, and wakes up when another has taken over, does
//! no harm: one charge, one `PaymentApproved`, and nothing that the sleeper brings is recorded.
//!
//! The scenario: the process is stopped (a paused machine, a long swap) with the gateway's answer on
//! its way. Its lease runs out, a second shop on the same database takes the row over and looks the
//! payment up. Then the first wakes with an answer that was true when it fell asleep.
//!
//! What saves us is that every statement of the worker's `relay/sql` which follows a call asks for
//! the `lease_owner` and `fence` of its claim. Seen to fail without the two: the first test's sleeper
//! settles the row under its successor's hands and never finds out that it was not its own.
//!
//! And that PostgreSQL ends the transactions of a process that stands still
//! (`idle_in_transaction_session_timeout` in service-kit's `pools.rs`). Seen to fail without it: the
//! successor's reactions and projections wait for the sleeper's locks, and the second test's order
//! never becomes PAID in the history.

use std::time::Duration;

use end_to_end::{ShopProcess, World};
use kakaopay_sim::{Fault, FaultScript, Operation, When};
use testkit::eventually;

use crate::support::{
    about_to_pay, counter, history, is_charged, is_paid_once, times, world as plain_world,
};

/// Long enough for a worker that is merely slow, short enough for a test.
const LEASE_MS: &str = "3000";
/// Longest the sleeper may take to find out that it lost its row.
const WAKE_WAIT_MAX: Duration = Duration::from_secs(30);
/// What a worker counts when it finds that out.
const LEASES_LOST: &str = "relay_leases_lost_total";

async fn world() -> World {
    plain_world().await.with("RELAY_LEASE_MS", LEASE_MS)
}

/// The sleeper goes on, and has found out that its row belongs to somebody else.
async fn wakes_in_vain(sleeper: &ShopProcess) {
    sleeper.thaw().await;
    eventually(WAKE_WAIT_MAX, || async {
        (0 < counter(&sleeper.at, LEASES_LOST).await).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_with_a_yes_in_its_hands_records_nothing_while_its_successor_still_asks() {
    let world = world().await;
    let sleeper = world.start_shop().await;
    let (shopper, order, page) = about_to_pay(&sleeper.at).await;
    let held = |operation| FaultScript::of(operation, When::Always, Fault::CommitThenHold);
    world.kakaopay.set_faults(held(Operation::Approve));
    shopper.approve_on(&page).await.unwrap();
    is_charged(&world, &order).await;

    sleeper.freeze().await;
    // The yes goes out to the sleeper; whoever looks up has to wait.
    world.kakaopay.set_faults(held(Operation::Order));
    let successor = world.start_shop().await;
    world.kakaopay.calls_reach(Operation::Order, 1).await;
    wakes_in_vain(&sleeper).await;
    let meanwhile = history(&world.database().url, &order).await;
    world.kakaopay.clear_faults();

    assert_eq!(times(&meanwhile, "PaymentApproved"), 0, "{meanwhile:?}");
    is_paid_once(&world, &shopper.moved_to(&successor.at), &order).await;
    let history = history(&world.database().url, &order).await;
    assert_eq!(times(&history, "PaymentApproved"), 1, "{history:?}");
    assert_eq!(world.kakaopay.calls(Operation::Approve).arrived, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_that_wakes_after_its_successor_settled_the_payment_changes_nothing() {
    let world = world().await;
    let sleeper = world.start_shop().await;
    let (shopper, order, page) = about_to_pay(&sleeper.at).await;
    let first_held = FaultScript::of(Operation::Approve, When::First(1), Fault::HoldThenCommit);
    world.kakaopay.set_faults(first_held);
    shopper.approve_on(&page).await.unwrap();
    world.kakaopay.calls_reach(Operation::Approve, 1).await;

    sleeper.freeze().await;
    // The successor finds the payment unpaid and asks itself, while the sleeper's call still works.
    let successor = world.start_shop().await;
    let shopper = shopper.moved_to(&successor.at);
    world.kakaopay.calls_reach(Operation::Approve, 2).await;
    world.kakaopay.clear_faults();
    is_paid_once(&world, &shopper, &order).await;
    let settled = history(&world.database().url, &order).await;
    wakes_in_vain(&sleeper).await;

    is_paid_once(&world, &shopper, &order).await;
    assert_eq!(times(&settled, "PaymentApproved"), 1, "{settled:?}");
    assert_eq!(history(&world.database().url, &order).await, settled);
}

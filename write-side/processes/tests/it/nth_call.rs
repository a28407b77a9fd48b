//! A fault at the n-th gateway call, for n = 1, 2, 3, … until a run has no n-th call any more: in
//! the end the order is paid and half refunded, and KakaoPay moved the money once each way.
//!
//! Without `unknown_for` in `relay/rows.rs` (checked by setting it to none) the runs with a lost
//! answer or a dead worker never end: the next worker approves again, KakaoPay refuses with -702,
//! and the order is never heard to be paid.

use std::sync::Arc;

use contracts::events::OrderKind;
use domain::order::OrderStatus;

use crate::stumbling::{Stumble, Stumbling};
use crate::world::World;

/// More calls than any of these runs makes.
const CALLS_MAX: u32 = 12;

async fn stumbles_at_every_call(how: Stumble) {
    for call in 1..=CALLS_MAX {
        if !run(how, call).await {
            assert!(3 < call, "the run has at least three calls");
            return;
        }
    }
    panic!("still stumbling at call {CALLS_MAX}");
}

/// One run; whether it came to call `call` at all.
async fn run(how: Stumble, call: u32) -> bool {
    let world = World::new().await;
    let gateway = Stumbling::at(call, how, world.gateway());
    let mut relay = world.relay(Arc::<Stumbling>::clone(&gateway));
    let shopping = async {
        let order = world.place(OrderKind::OneOff, false).await;
        world.pay(order).await;
        world.is_paid_once(order).await;
        world.refund(order, 13_500).await;
        world.becomes(order, OrderStatus::PartlyRefunded).await;
        world.is_idle().await;
        order
    };
    tokio::pin!(shopping);
    let order = loop {
        tokio::select! {
            order = &mut shopping => break order,
            () = gateway.died() => {
                relay.kill().await;
                world.leases_run_out().await;
                relay = world.relay(world.gateway());
            }
        }
    };
    relay.stop().await;
    let charges = world.charges(order);
    let shown = format!("{how:?} at call {call}: {charges:#?}");
    assert_eq!(charges.len(), 1, "{shown}");
    assert_eq!((charges[0].amount, charges[0].cancelled), (27_000, 13_500), "{shown}");
    assert_eq!(charges[0].cancels.len(), 1, "{shown}");
    gateway.has_stumbled()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_not_sent() {
    stumbles_at_every_call(Stumble::NotSent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_lost() {
    stumbles_at_every_call(Stumble::CallLost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost() {
    stumbles_at_every_call(Stumble::AnswerLost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_before_it_hears_the_answer() {
    stumbles_at_every_call(Stumble::WorkerDies).await;
}

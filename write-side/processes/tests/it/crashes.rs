//! A worker dies and another takes over: the same final state as if nothing had happened.
//!
//! Between the gateway's yes and our record of it the lease runs out and the row is looked up
//! (`unknown_for` in `relay/rows.rs`; without it the second worker approves again and is refused
//! with -702). Between record and done the stored settlement is told again, under the same receipt
//! (`relay/deliver.rs`), and nobody is called.

use contracts::events::OrderKind;
use kakaopay_sim::{Fault, FaultScript, Operation, When};
use testkit::eventually;

use crate::world::{PATIENCE, World};

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_yes_and_our_record_of_it() {
    let world = World::new().await;
    let first = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.page_of(order).await;
    let held = FaultScript::of(Operation::Approve, When::Always, Fault::CommitThenHold);
    world.sim.set_faults(held);
    world.pay(order).await;
    world.sim.calls_reach(Operation::Approve, 1).await;
    first.kill().await;
    // Charged, and nobody of ours knows.
    eventually(PATIENCE, || async { (world.charges(order).len() == 1).then_some(()) }).await;

    world.sim.clear_faults();
    let second = world.worker();
    world.is_paid_once(order).await;
    world.is_idle().await;
    assert_eq!(world.sim.ledger().calls(Operation::Approve).arrived, 1);
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_record_and_the_end_of_the_row() {
    let world = World::new().await;
    let first = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.pay(order).await;
    world.is_paid_once(order).await;
    world.is_idle().await;
    first.stop().await.unwrap();
    let before = world.number("select count(*) from events").await;

    // What such a death leaves behind: the row is still there, leased, its outcome stored.
    world
        .execute(
            "with back as (delete from outbox_done where kind = 'payment_approve' returning *)
             insert into outbox
               (id, aggregate_type, aggregate_id, sequence, effect_index, kind, payload,
                correlation_id, request, outcome)
             select id, aggregate_type, aggregate_id, sequence, effect_index, kind, payload,
                    correlation_id, request, outcome
             from   back;
             update outbox set state = 'in_flight', lease_owner = 'worker-dead',
                    lease_until = clock_timestamp()",
        )
        .await;
    let second = world.worker();
    world.is_idle().await;
    world.is_paid_once(order).await;
    assert_eq!(world.number("select count(*) from events").await, before, "told twice, heard once");
    let ledger = world.sim.ledger();
    assert_eq!(ledger.calls(Operation::Approve).arrived, 1);
    assert_eq!(ledger.calls(Operation::Order).arrived, 0);
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_with_a_call_under_way_it_waits_for_the_answer() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::OneOff, false).await;
    world.page_of(order).await;
    let held = FaultScript::of(Operation::Approve, When::Always, Fault::CommitThenHold);
    world.sim.set_faults(held);
    world.pay(order).await;
    world.sim.calls_reach(Operation::Approve, 1).await;
    let stopping = tokio::spawn(worker.stop());
    world.sim.clear_faults();
    stopping.await.unwrap().unwrap();
    world.is_paid_once(order).await;
    assert_eq!(world.outbox_rows().await, 0, "the row was carried to its end");
}

//! A recurring key stands in one answer and nowhere else: it is held until it is stored.

use std::time::{Duration, Instant};

use contracts::events::OrderKind;
use domain::order::OrderStatus;
use processes::relay::RowClass;
use testkit::eventually;

use crate::world::{PATIENCE, World};

/// As on a database that is unavailable, for keys alone.
async fn refuse_keys(world: &World) {
    // A sequence counts although the transaction that drew from it is rolled back.
    world
        .execute(
            "create sequence refused_keys;
             create function refuse_key() returns trigger language plpgsql security definer as $$
             begin
               perform nextval('refused_keys');
               raise exception 'unavailable' using errcode = '57P03';
             end $$;
             create trigger refuse before insert on billing_keys
               for each row when (new.sealed_sid is not null) execute function refuse_key()",
        )
        .await;
}

async fn keys_are_refused(world: &World, times: i64) {
    eventually(PATIENCE, || async {
        let refused = world.number("select last_value from refused_keys").await;
        (times <= refused).then_some(())
    })
    .await;
}

/// F11: with five tries (seen so) the key of an outage of more than some seconds is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_held_until_the_database_takes_it() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::Subscription, false).await;
    world.page_of(order).await;
    refuse_keys(&world).await;
    world.pay(order).await;
    keys_are_refused(&world, 12).await;
    world.execute("drop trigger refuse on billing_keys").await;
    let paid = world.becomes(order, OrderStatus::Paid).await;
    let approval = paid.payment().and_then(|attempt| attempt.stage.approval()).unwrap();
    assert!(approval.billing_key.is_some(), "the key is on record");
    let kept = "select count(*) from billing_keys where state = 'active'";
    assert_eq!(world.number(kept).await, 1);
    worker.stop().await.unwrap();
}

/// Without `drain_for_keys` in `relay.rs` (seen so) the worker ends after its usual time to drain, and
/// the key with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_drains_waits_for_a_key_to_be_stored() {
    let mut world = World::new().await;
    // Two calls and their waits fit the time to drain. An approval that times out, as it may with
    // 200 ms on a busy machine, yields no key to wait for.
    world.config.gateway.call_timeout = Duration::from_secs(3);
    world.config.gateway.connect_timeout = Duration::from_secs(1);
    world.config.relay.drain = Duration::from_millis(8_500);
    let worker = world.worker();
    let order = world.place(OrderKind::Subscription, false).await;
    world.page_of(order).await;
    refuse_keys(&world).await;
    world.pay(order).await;
    // A sequence that was never drawn from has the value 1: the first refusal shows as the second.
    keys_are_refused(&world, 2).await;
    let ended = tokio::spawn(worker.stop());
    let late = Instant::now() + world.config.relay.drain + Duration::from_secs(1);
    eventually(PATIENCE, || async { (late <= Instant::now()).then_some(()) }).await;
    let before = world.number("select last_value from refused_keys").await;
    keys_are_refused(&world, before + 1).await;
    assert!(!ended.is_finished());
    world.execute("drop trigger refuse on billing_keys").await;
    ended.await.unwrap().unwrap();
    let kept = "select count(*) from billing_keys where state = 'active'";
    assert_eq!(world.number(kept).await, 1);
}

/// The lease runs out while the key waits to be stored, and the same worker claims the row again: its
/// look-up finds the payment, and no key. Settled at once (seen so) the key is on record as missing for
/// good, although it is stored a moment later.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_still_waits_to_be_stored_is_not_taken_for_missing() {
    let world = World::new().await;
    let worker = world.worker();
    let order = world.place(OrderKind::Subscription, false).await;
    world.page_of(order).await;
    refuse_keys(&world).await;
    world.pay(order).await;
    keys_are_refused(&world, 2).await;
    world.leases_run_out().await;
    let claimed_again = "select count(*) from outbox where 1 < attempt or 0 < (
                           select count(*) from events where event_type = 'PaymentApproved')";
    eventually(PATIENCE, || async { (world.number(claimed_again).await == 1).then_some(()) }).await;
    let before = world.number("select last_value from refused_keys").await;
    keys_are_refused(&world, before + 10).await;
    world.execute("drop trigger refuse on billing_keys").await;
    let paid = world.becomes(order, OrderStatus::Paid).await;
    let approval = paid.payment().and_then(|attempt| attempt.stage.approval()).unwrap();
    assert!(approval.billing_key.is_some(), "the key is on record");
    worker.stop().await.unwrap();
}

/// A worker that holds a key and lost its lease stores the key, which its heir cannot see. Seen to
/// fail: the heir took the absent key for lost, the approval was recorded without it, and the key was
/// in the table all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_heir_waits_for_the_key_that_another_worker_holds() {
    let mut world = World::new().await;
    world.config.retries.key_absent_for = Duration::from_secs(15);
    let worker = world.worker();
    let order = world.place(OrderKind::Subscription, false).await;
    world.page_of(order).await;
    refuse_keys(&world).await;
    world.pay(order).await;
    keys_are_refused(&world, 3).await;

    let rows = world.rows("heir");
    let row = eventually(PATIENCE, || async {
        world.leases_run_out().await;
        rows.claim(RowClass::Shopper, 1).await.unwrap().pop()
    })
    .await;
    world.carrier(rows, world.gateway()).carry(row).await;
    let missing = "select count(*) from billing_keys where state = 'missing'";
    assert_eq!(world.number(missing).await, 0);

    world.execute("drop trigger refuse on billing_keys").await;
    let kept = "select count(*) from billing_keys where state = 'active'";
    eventually(PATIENCE, || async { (world.number(kept).await == 1).then_some(()) }).await;
    world.execute("update outbox set not_before = clock_timestamp()").await;
    let paid = world.becomes(order, OrderStatus::Paid).await;
    let approval = paid.payment().and_then(|attempt| attempt.stage.approval()).unwrap();
    assert!(approval.billing_key.is_some(), "the key is on record");
    worker.stop().await.unwrap();
}

/// The row is claimed again and again while its key waits. Paused by its tries, which such a claim uses
/// none of (seen so), it is claimed at the shortest pause, with a line each, for as long as that takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_whose_key_waits_to_be_stored_is_claimed_less_and_less_often() {
    let mut world = World::new().await;
    world.config.retries.pause_max = Duration::from_secs(2);
    let worker = world.worker();
    let order = world.place(OrderKind::Subscription, false).await;
    world.page_of(order).await;
    refuse_keys(&world).await;
    world.pay(order).await;
    keys_are_refused(&world, 2).await;
    world.leases_run_out().await;
    let paused = "select count(*) from outbox
                  where state = 'unknown' and interval '1 second' < not_before - updated_at";
    eventually(PATIENCE, || async { (world.number(paused).await == 1).then_some(()) }).await;
    world.execute("drop trigger refuse on billing_keys").await;
    world.becomes(order, OrderStatus::Paid).await;
    worker.stop().await.unwrap();
}

//! Two relays and one outbox: a row has one worker at a time, and a worker that lost its lease
//! records nothing but a recurring key, which nobody else could find out.
//!
//! Without owner and claim in the statements of `relay/sql` (checked by comparing the id alone) the
//! zombie here writes into the row, and takes it out, under the other worker's hands. With
//! the key kept only while the claim stands in `relay/rows.rs` (seen so) it stays missing for ever.

use std::time::Duration;

use contracts::events::OrderKind;
use contracts::{BillingKeyId, Text, seals};
use domain::Settlement;
use kakaopay_sim::Operation;
use processes::relay::rows::{KeptKey, PutOff, RowClass, RowError, SealedKey, WaitingState};
use serde_json::json;

use crate::world::{World, clock};

fn put_off() -> PutOff {
    PutOff {
        state: WaitingState::Waiting,
        pause: Duration::ZERO,
        is_counted: true,
        is_unsent: false,
        why: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_records_nothing() {
    let world = World::new().await;
    world.place(OrderKind::OneOff, false).await;
    let (zombie, heir) = (world.rows("zombie"), world.rows("heir"));
    let row = zombie.claim(RowClass::Shopper, 10).await.unwrap().pop().expect("a row to claim");
    assert!(heir.claim(RowClass::Shopper, 10).await.unwrap().is_empty(), "leased to another");

    world.leases_run_out().await;
    let taken_over =
        heir.claim(RowClass::Shopper, 10).await.unwrap().pop().expect("the lease ran out");
    assert_eq!(taken_over.id, row.id);
    assert_ne!(taken_over.claim, row.claim);

    let settlement = Settlement::NotSent { at: clock().now() };
    let lost = |result: Result<(), RowError>| matches!(result, Err(RowError::LeaseLost));
    assert!(lost(zombie.store_request(&row, &json!({})).await));
    assert!(lost(zombie.store_outcome(&row, &settlement, None).await));
    assert!(lost(zombie.put_off(&row, &put_off()).await));
    assert!(lost(zombie.bury(&row, "").await));
    assert!(lost(zombie.finish(&row).await));

    // Not even when the same worker claims again: the token is the claim's, not the worker's.
    world.leases_run_out().await;
    let again =
        zombie.claim(RowClass::Shopper, 10).await.unwrap().pop().expect("the lease ran out again");
    assert!(lost(zombie.finish(&row).await));
    zombie.store_outcome(&again, &settlement, None).await.unwrap();
    zombie.finish(&again).await.unwrap();
    assert_eq!(world.outbox_rows().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_loses_no_recurring_key() {
    let world = World::new().await;
    let order = world.place(OrderKind::Subscription, false).await;
    let (zombie, heir) = (world.rows("zombie"), world.rows("heir"));
    let row = zombie.claim(RowClass::Shopper, 10).await.unwrap().pop().expect("a row to claim");
    world.leases_run_out().await;
    let taken_over =
        heir.claim(RowClass::Shopper, 10).await.unwrap().pop().expect("the lease ran out");

    let settlement = Settlement::NotSent { at: clock().now() };
    let id = BillingKeyId::of(order);
    let stream = seals::billing_key_stream(id);
    let sid = "S1234567890987654321".to_owned();
    let sid = world.vault.seal(world.user, &stream, seals::SID, &sid).await.unwrap();
    let sealed = |sid| SealedKey {
        sid,
        partner_user_id: "somebody".to_owned(),
        cid: None,
        tid: Text::parse("T1").unwrap(),
    };
    let key = |sealed| KeptKey { id, user: world.user, sealed };
    let (missing, known) = (key(None), key(Some(sealed(sid))));

    // Looked up: the money is found, and the key is not.
    heir.store_outcome(&taken_over, &settlement, Some(&missing)).await.unwrap();
    let stored = zombie.store_outcome(&row, &settlement, Some(&known)).await;
    assert!(matches!(stored, Err(RowError::LeaseLost)), "{stored:?}");
    let kept =
        "select count(*) from billing_keys where state = 'active' and sealed_sid is not null";
    assert_eq!(world.number(kept).await, 1);
}

/// F18: two approvals of one order yield two keys, and both are alive at KakaoPay.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_recurring_key_is_kept_to_be_ended() {
    let world = World::new().await;
    let order = world.place(OrderKind::Subscription, false).await;
    let rows = world.rows("worker");
    let row = rows.claim(RowClass::Shopper, 10).await.unwrap().pop().expect("a row to claim");
    let settlement = Settlement::NotSent { at: clock().now() };
    let id = BillingKeyId::of(order);
    // The same payment's key comes twice, sealed anew, then another payment's, twice as well.
    for tid in ["T1", "T1", "T2", "T2"] {
        let stream = seals::billing_key_stream(id);
        let sid = format!("S of {tid}");
        let sid = world.vault.seal(world.user, &stream, seals::SID, &sid).await.unwrap();
        let sealed = Some(SealedKey {
            sid,
            partner_user_id: "somebody".to_owned(),
            cid: Some(Text::parse("TCSUBSCRIP").unwrap()),
            tid: Text::parse(tid).unwrap(),
        });
        let key = KeptKey { id, user: world.user, sealed };
        rows.store_outcome(&row, &settlement, Some(&key)).await.unwrap();
    }
    let first = "select count(*) from billing_keys where tid = 'T1' and cid = 'TCSUBSCRIP'";
    assert_eq!(world.number(first).await, 1, "the first one stays");
    let orphans = "select count(*) from billing_key_orphans";
    assert_eq!(world.number(orphans).await, 1);
    assert_eq!(world.number(&format!("{orphans} where tid = 'T2'")).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_lives_as_long_as_its_worker_renews_it() {
    let world = World::new().await;
    world.place(OrderKind::OneOff, false).await;
    let (worker, other) = (world.rows("worker"), world.rows("other"));
    let in_hand = worker.claim(RowClass::Shopper, 10).await.unwrap();
    assert_eq!(in_hand.len(), 1);
    world.leases_run_out().await;
    worker.renew().await.unwrap();
    assert!(other.claim(RowClass::Shopper, 10).await.unwrap().is_empty());
}

/// A claim whose answer was lost, or a row that could not be given back while the database was away:
/// its worker lives and must not keep it from the others. Without the claims in hand in
/// `relay/sql/renew.sql` (checked by renewing by owner alone) the row stays leased for minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_its_worker_let_go_of_is_not_renewed() {
    let world = World::new().await;
    world.place(OrderKind::OneOff, false).await;
    let (worker, other) = (world.rows("worker"), world.rows("other"));
    drop(worker.claim(RowClass::Shopper, 10).await.unwrap());
    world.leases_run_out().await;
    worker.renew().await.unwrap();
    assert_eq!(other.claim(RowClass::Shopper, 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_call_once_for_each_order() {
    let world = World::new().await;
    let workers = [world.worker(), world.worker()];
    let mut orders = Vec::new();
    for _ in 0..10 {
        orders.push(world.place(OrderKind::OneOff, false).await);
    }
    for order in &orders {
        world.pay(*order).await;
    }
    for order in &orders {
        world.is_paid_once(*order).await;
    }
    world.is_idle().await;
    let ledger = world.sim.ledger();
    assert_eq!(ledger.calls(Operation::Ready).arrived, 10);
    assert_eq!(ledger.calls(Operation::Approve).arrived, 10);
    assert_eq!(ledger.calls(Operation::Order).arrived, 0);
    for worker in workers {
        worker.stop().await.unwrap();
    }
}

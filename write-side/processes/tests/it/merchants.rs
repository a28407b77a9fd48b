//! Payments keep the merchant code they were made with (F17): the shop's contract may change while
//! older payments are still looked up, approved and refunded.

use contracts::events::OrderKind;
use domain::order::OrderStatus;
use kakaopay_sim::{CidConfig, CidKind, Fault, FaultScript, Operation, SimConfig, When};
use service_kit::config::Secret;

use crate::world::World;

const NEW_ONE_TIME: &str = "CT00000001";
const NEW_RECURRING: &str = "CT00000002";
const NEW_SECRET: &str = "0123456789abcdefghij0123";

/// KakaoPay knows the codes of the old contract and those of the new one.
async fn world() -> World {
    let cid = |cid: &str, kind, secret: Option<&str>| CidConfig {
        cid: cid.to_owned(),
        kind,
        secret: secret.map(str::to_owned),
    };
    let cids = vec![
        cid("TC0ONETIME", CidKind::OneTime, None),
        cid("TCSUBSCRIP", CidKind::Recurring, None),
        cid(NEW_ONE_TIME, CidKind::OneTime, Some(NEW_SECRET)),
        cid(NEW_RECURRING, CidKind::Recurring, None),
    ];
    World::with(SimConfig { cids, ..SimConfig::default() }).await
}

fn sign_new_contract(world: &mut World) {
    NEW_ONE_TIME.clone_into(&mut world.config.kakaopay_cid_one_time);
    world.config.kakaopay_cid_one_time_secret = Some(Secret::new(NEW_SECRET));
    NEW_RECURRING.clone_into(&mut world.config.kakaopay_cid_recurring);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_payment_is_refunded_and_looked_up_by_the_code_it_was_made_with() {
    for kind in [OrderKind::OneOff, OrderKind::Subscription] {
        let mut world = world().await;
        let worker = world.worker();
        let paid = world.place(kind, false).await;
        world.pay(paid).await;
        world.is_paid_once(paid).await;
        let opened = world.place(kind, false).await;
        let token = world.press_approve(opened).await;
        worker.stop().await.unwrap();

        sign_new_contract(&mut world);
        let worker = world.worker();
        // The refund's answer is lost, so it is looked up as well.
        world.sim.set_faults(FaultScript::of(
            Operation::Cancel,
            When::Call(1),
            Fault::CommitThenDrop,
        ));
        world.refund(paid, 5_000).await;
        world.becomes(paid, OrderStatus::PartlyRefunded).await;
        world.come_back(opened, token).await;
        world.is_paid_once(opened).await;
        let later = world.place(kind, false).await;
        world.pay(later).await;
        world.is_paid_once(later).await;
        world.refund(later, 5_000).await;
        world.becomes(later, OrderStatus::PartlyRefunded).await;

        let codes = [paid, opened, later].map(|order| world.charges(order)[0].cid.clone());
        let (old, new) = match kind {
            OrderKind::OneOff => ("TC0ONETIME", NEW_ONE_TIME),
            OrderKind::Subscription => ("TCSUBSCRIP", NEW_RECURRING),
        };
        assert_eq!(codes, [old, old, new]);
        worker.stop().await.unwrap();
    }
}

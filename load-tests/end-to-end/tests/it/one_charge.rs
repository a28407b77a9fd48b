//! Whatever happens between the gateway's yes and our record of it, the order becomes PAID and the
//! gateway's ledger shows one charge.
//!
//! The scenario of the first test: KakaoPay has moved the money, its answer is on the way, and the
//! shop's process is killed with signal 9. What saves us is that the outbox row stays `in_flight`
//! with its lease and is looked up (`order(tid)`) before anything else once the lease ran out:
//! an approval sent again without looking is refused by the gateway and would look like a decline,
//! and a row dropped at the kill leaves the order waiting for ever.

use kakaopay_sim::{Fault, FaultScript, Operation, When};

use crate::support::{about_to_pay, is_charged, is_paid_once, world};

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_the_gateways_yes_and_our_record_leaves_one_charge_and_a_paid_order() {
    let world = world().await;
    let shop = world.start_shop().await;
    let (shopper, order, page) = about_to_pay(&shop.at).await;
    world.kakaopay.set_faults(FaultScript::of(
        Operation::Approve,
        When::Always,
        Fault::CommitThenHold,
    ));
    shopper.approve_on(&page).await.unwrap();
    is_charged(&world, &order).await;

    shop.kill().await;
    world.kakaopay.clear_faults();
    let shop = world.start_shop().await;

    is_paid_once(&world, &shopper.moved_to(&shop.at), &order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_whose_answer_is_lost_in_any_way_is_one_charge_and_a_paid_order() {
    let world = world().await;
    let shop = world.start_shop().await;
    for fault in [Fault::CommitThenDrop, Fault::CommitThen500, Fault::TruncatedJson] {
        let (shopper, order, page) = about_to_pay(&shop.at).await;
        world.kakaopay.set_faults(FaultScript::of(Operation::Approve, When::First(1), fault));

        shopper.approve_on(&page).await.unwrap();

        is_paid_once(&world, &shopper, &order).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn coming_back_from_the_pay_page_twice_is_one_charge() {
    let world = world().await;
    let shop = world.start_shop().await;
    let (shopper, order, page) = about_to_pay(&shop.at).await;
    world.kakaopay.set_faults(FaultScript::of(
        Operation::PayPage,
        When::Always,
        Fault::DuplicateRedirect,
    ));

    shopper.approve_on(&page).await.unwrap();
    shopper.approve_on(&page).await.ok();

    is_paid_once(&world, &shopper, &order).await;
}

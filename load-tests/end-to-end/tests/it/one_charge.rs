//! Whatever happens between the gateway's yes and our record of it, the order becomes PAID and the
//! gateway's ledger shows one charge.
//!
//! The scenario of the first test: KakaoPay has moved the money, its answer is on the way, and the
//! shop's process is killed with signal 9. What saves us is that the outbox row stays `in_flight`
//! with its lease and is looked up (`order(tid)`) before anything else once the lease ran out:
//! an approval sent again without looking is refused by the gateway and would look like a decline,
//! and a row dropped at the kill leaves the order waiting for ever.

use std::time::Duration;

use end_to_end::World;
use kakaopay_sim::{Fault, FaultScript, Operation, When};
use shop::demo::shopper::{Order, Shopper, look_around};
use shop::ready::Addresses;
use testkit::eventually;

/// Longest a charge may take to show in the gateway's ledger after the shopper pressed the button.
const CHARGE_WAIT_MAX: Duration = Duration::from_secs(30);

async fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_shop-under-test")).await
}

/// A shopper who stands before an open pay page.
async fn about_to_pay(at: &Addresses) -> (Shopper, Order, String) {
    let (_, visitor) = look_around(at, 2).await.unwrap();
    let (_, shopper) = visitor.sign_up().await.unwrap();
    let (_, cart) = shopper.fill_cart("one-off", None).await.unwrap();
    let (_, order) = shopper.place_order("one-off", &cart).await.unwrap();
    let page = shopper.open_pay_page(&order).await.unwrap();
    (shopper, order, page)
}

async fn is_paid_once(world: &World, shopper: &Shopper, order: &Order) {
    shopper.wait_for_status(order, "PAID").await.unwrap();
    shopper.sees_empty_cart("one-off").await.unwrap();
    assert_eq!(world.charges_of(&order.id), [(order.total, 0)]);
}

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
    eventually(CHARGE_WAIT_MAX, || async {
        (!world.charges_of(&order.id).is_empty()).then_some(())
    })
    .await;

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

//! A shop that is asked to end while the gateway is moving money ends with exit code 0 in bounded
//! time, and the payment ends well: before the end if the gateway answers, else after the next start.
//!
//! The scenario: a deployment sends SIGTERM while an approval is out. What saves us is that the relay
//! lets rows under way end (`Relay::drain`), that a call ends by its own time-out before the time to
//! drain does (`WorkerConfig::check`), and that a row in doubt is looked up by whoever comes next.
//!
//! Seen to fail, the second test, when `claim.sql` forgets that a request was sent (`was_sent`): the
//! approval is sent again without a look, and the order stays unpaid.

use std::time::Duration;

use end_to_end::{ShopProcess, World};
use kakaopay_sim::{Fault, FaultScript, Operation, When};
use shop::demo::shopper::{Order, Shopper};
use testkit::eventually;

use crate::support::{about_to_pay, history, is_charged, is_paid_once, times, world};

/// Longest until a shop that was asked to end takes no new requests.
const CLOSING_WAIT_MAX: Duration = Duration::from_secs(10);

/// A shop that closed its doors while an approval is out, whose answer waits for the script's end.
async fn closing_while_paying(world: &World) -> (ShopProcess, Shopper, Order) {
    let shop = world.start_shop().await;
    let (shopper, order, page) = about_to_pay(&shop.at).await;
    let held = FaultScript::of(Operation::Approve, When::Always, Fault::CommitThenHold);
    world.kakaopay.set_faults(held);
    shopper.approve_on(&page).await.unwrap();
    is_charged(world, &order).await;
    shop.ask_to_end().await;
    eventually(CLOSING_WAIT_MAX, || async {
        reqwest::get(&shop.at.checkout_api).await.is_err().then_some(())
    })
    .await;
    (shop, shopper, order)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_while_the_shop_ends_is_recorded_before_it_ends() {
    let world = world().await;
    let (shop, shopper, order) = closing_while_paying(&world).await;

    world.kakaopay.clear_faults();
    let status = shop.ended().await;

    assert_eq!(status.code(), Some(0));
    let history = history(&world.database().url, &order).await;
    assert_eq!(times(&history, "PaymentApproved"), 1, "{history:?}");
    let shop = world.start_shop().await;
    is_paid_once(&world, &shopper.moved_to(&shop.at), &order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_comes_does_not_keep_the_shop_from_ending() {
    let world = world().await.with("KAKAOPAY_CONNECT_TIMEOUT_MS", "500");
    let world = world.with("KAKAOPAY_CALL_TIMEOUT_MS", "2000");
    let (shop, shopper, order) = closing_while_paying(&world).await;

    let status = shop.ended().await;
    world.kakaopay.clear_faults();
    let shop = world.start_shop().await;

    assert_eq!(status.code(), Some(0));
    is_paid_once(&world, &shopper.moved_to(&shop.at), &order).await;
    let history = history(&world.database().url, &order).await;
    assert_eq!(times(&history, "PaymentApproved"), 1, "{history:?}");
}

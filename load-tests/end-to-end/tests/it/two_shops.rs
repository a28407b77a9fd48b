//! Two whole shops on one database: every order is charged once, whichever of the two took it, made
//! its pay page, heard the shopper come back, or told the order.
//!
//! The scenario: two relays, two reactors and two projectors compete for the same rows while
//! shoppers change from one shop to the other between ordering and paying. What saves us is the lease
//! that `claim.sql` of the relay takes and respects, the lock on `reaction_checkpoint`, and ids of
//! subscriptions that follow from order and line.
//!
//! Seen to fail with a claim that takes rows whose lease still runs: the two take each other's rows
//! again and again, and orders stay unpaid. It is no proof of every guard: without
//! `for update … skip locked`, and without the fence as well, it still passed; `zombie.rs` and the
//! lease tests of `processes` are what hold those.

use kakaopay_sim::Operation;
use tokio::task::JoinSet;

use crate::support::{count, order, pay_patiently, shopper, world};

/// Who shops at the same time; half of them subscribe.
const SHOPPERS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_shoppers_in_two_shops_are_charged_once_each() {
    let world = world().await;
    let shops = [world.start_shop().await, world.start_shop().await];
    let mut visits = JoinSet::new();
    for number in 0..SHOPPERS {
        let (here, there) = (shops[number % 2].at.clone(), shops[(number + 1) % 2].at.clone());
        let kind = if number / 2 % 2 == 0 { "one-off" } else { "subscription" };
        visits.spawn(async move {
            let shopper = crate::support::patiently(|| shopper(&here)).await;
            let order = order(&shopper, kind).await.unwrap();
            let shopper = shopper.moved_to(&there);
            pay_patiently(&shopper, &order).await;
            shopper.sees_empty_cart(kind).await.unwrap();
            (order, kind)
        });
    }

    let orders = visits.join_all().await;

    for (order, _) in &orders {
        assert_eq!(world.charges_of(&order.id), [(order.total, 0)]);
    }
    let expected = u64::try_from(SHOPPERS).unwrap();
    assert_eq!(world.kakaopay.calls(Operation::Ready).arrived, expected);
    assert_eq!(world.kakaopay.calls(Operation::Approve).arrived, expected);
    let url = &world.database().url;
    assert_eq!(count(url, "PaymentApproved").await, orders.len());
    let subscribed = orders.iter().filter(|(_, kind)| *kind == "subscription");
    let lines: usize = subscribed.map(|(order, _)| order.lines).sum();
    assert_eq!(count(url, "SubscriptionOpened").await, lines);
}

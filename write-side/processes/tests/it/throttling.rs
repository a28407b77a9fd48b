//! Each class of calls has its own limit per second: charges that wait for their turn keep no
//! checkout waiting.
//!
//! With one throttle for all three lanes in `gateway/lane.rs` (seen so) the pages here are turned
//! away with the charge, on a clock that stands still.

use std::num::NonZeroU32;
use std::time::Duration;

use contracts::{OrderId, Text, Won};
use domain::effects::PaymentTerms;
use kakaopay_sim::Operation;
use processes::gateway::throttle::RatePolicy;
use processes::gateway::{Admission, BillingSecret, ChargeRequest, CheckoutRequest, Outcome};
use service_kit::clock::ManualClock;
use service_kit::config::Secret;
use testkit::eventually;
use uuid::Uuid;

use crate::world::{PATIENCE, World, clock, won};

/// More pages than the charges' limit would let through in a minute.
const PAGES: usize = 100;

fn terms(world: &World, order: OrderId) -> PaymentTerms {
    PaymentTerms {
        user_id: world.user,
        attempt: 1,
        partner_order_id: Text::parse(&format!("{order}-1")).unwrap(),
        amount: won(27_000),
        tax_free: Won::ZERO,
        vat: won(2_454),
        billing_key: None,
        merchant: None,
    }
}

fn charge(world: &World) -> ChargeRequest {
    ChargeRequest {
        terms: terms(world, OrderId::new(Uuid::now_v7())),
        key: BillingSecret {
            secret: Secret::new("S1234567890987654321"),
            partner_user_id: "somebody".to_owned(),
            merchant: None,
        },
        item_name: Text::parse("홍삼정").unwrap(),
        quantity: 1,
        correlation_id: Uuid::now_v7().to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_charge_never_slows_a_checkout() {
    let mut world = World::new().await;
    world.config.gateway.charge.rate = RatePolicy::per_second(NonZeroU32::MIN);
    world.config.gateway.charge.place_wait = Duration::from_mins(1);
    let time = ManualClock::at(clock().now());
    let gateway = processes::gateway(&world.config, &time.shared()).unwrap();

    // The sim knows no such key: that the call arrives is what counts.
    gateway.charge(&charge(&world), Admission::pending()).await;
    let request = charge(&world);
    let throttled = gateway.charge(&request, Admission::pending());
    let pages = async {
        eventually(PATIENCE, || async { (time.sleepers() == 1).then_some(()) }).await;
        for _ in 0..PAGES {
            let order_id = OrderId::new(Uuid::now_v7());
            let page = CheckoutRequest {
                terms: terms(&world, order_id),
                order_id,
                item_name: Text::parse("홍삼정").unwrap(),
                quantity: 1,
                correlation_id: Uuid::now_v7().to_string(),
            };
            let opened = gateway.begin_checkout(&page, Admission::pending()).await;
            assert!(matches!(opened, Outcome::Done(_)), "{opened:?}");
        }
        let ledger = world.sim.ledger();
        assert_eq!(ledger.calls(Operation::Subscription).arrived, 1, "the other one waits");
        time.advance(Duration::from_secs(1));
    };
    let (charged, ()) = tokio::join!(throttled, pages);
    assert!(!matches!(charged, Outcome::NotSent(_)), "{charged:?}");
    let ledger = world.sim.ledger();
    assert_eq!(ledger.calls(Operation::Ready).arrived, PAGES as u64);
    assert_eq!(ledger.calls(Operation::Subscription).arrived, 2);
}

//! Given, when, then: what the subscription decides.

use contracts::events::SubscriptionEvent;
use contracts::{BillingKeyId, OrderId, calendar};
use uuid::Uuid;

use super::{OpenSubscription, Subscription, SubscriptionCommand, SubscriptionRefusal};
use crate::fixtures::{days, item, kim, minute, pieces, sealed, text, when, won};
use crate::kernel::EventSourced;

fn open(line_no: u16) -> SubscriptionCommand {
    let order_id = OrderId::new(Uuid::from_u128(5));
    SubscriptionCommand::OpenSubscription(Box::new(OpenSubscription {
        user_id: kim(),
        order_id,
        line_no,
        item_id: item(1),
        item_name: text("홍삼"),
        quantity: pieces(2),
        unit_price: won(9_000),
        period: days(90),
        receiver: sealed("home"),
        billing_key: BillingKeyId::of(order_id),
        paid_on: calendar::business_date(minute(0)),
        at: minute(1),
    }))
}

#[test]
fn the_first_cycle_falls_due_one_period_after_the_paid_day() {
    let mut subscription = Subscription::default();
    let events = when(&mut subscription, open(1));
    let [SubscriptionEvent::Opened { paid_on, next_due_on, .. }] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(
        (paid_on.to_string(), next_due_on.to_string()),
        ("2026-11-23".into(), "2027-02-21".into())
    );
    assert_eq!(subscription.active().unwrap().next_due_on, *next_due_on);
}

#[test]
fn a_line_opens_one_subscription_however_often_it_is_asked() {
    let mut subscription = Subscription::default();
    when(&mut subscription, open(1));
    assert_eq!(subscription.decide(open(1)), Ok(vec![]));
    assert_eq!(subscription.decide(open(2)), Err(SubscriptionRefusal::OtherOrderLine));
}

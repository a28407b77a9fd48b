//! Given, when, then: what the subscription decides.

use contracts::events::{SubscriptionCancelledBy, SubscriptionEvent};
use contracts::{BillingKeyId, OrderId, calendar};
use uuid::Uuid;

use super::{
    Ender, OpenSubscription, Subscription, SubscriptionCommand, SubscriptionRefusal,
    SubscriptionStatus,
};
use crate::fixtures::{ADMIN, KIM, LEE, days, item, kim, minute, pieces, sealed, text, when, won};
use crate::kernel::{EventSourced, Principal};

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
        key_missing: false,
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

fn cancel(by: Ender) -> SubscriptionCommand {
    SubscriptionCommand::CancelSubscription { by, reason: None, at: minute(9) }
}

#[test]
fn it_ends_once_by_whoever_may_and_keeps_what_it_was() {
    for (by, recorded) in [
        (Ender::Principal(KIM), SubscriptionCancelledBy::User),
        (Ender::Principal(ADMIN), SubscriptionCancelledBy::Admin),
        (Ender::Principal(Principal::System), SubscriptionCancelledBy::System),
        (Ender::OrderCalledOff, SubscriptionCancelledBy::OrderCalledOff),
        (Ender::OrderRefunded, SubscriptionCancelledBy::OrderRefunded),
    ] {
        let mut subscription = Subscription::default();
        when(&mut subscription, open(1));
        let was = subscription.active().unwrap().clone();
        assert_eq!(when(&mut subscription, cancel(by)).len(), 1);
        let ended = subscription.cancelled().unwrap();
        assert_eq!((ended.by, &ended.subscription), (recorded, &was));
        assert_eq!(subscription.status(), Some(SubscriptionStatus::Cancelled));
        assert_eq!(subscription.active(), None);
        assert_eq!(subscription.decide(cancel(Ender::OrderRefunded)), Ok(vec![]));
        // A reaction that comes late opens it no more.
        assert_eq!(subscription.decide(open(1)), Ok(vec![]));
        assert_eq!(subscription.decide(open(2)), Err(SubscriptionRefusal::OtherOrderLine));
    }
}

#[test]
fn nobody_ends_what_is_not_theirs_or_not_there() {
    let mut subscription = Subscription::default();
    let refusal = Err(SubscriptionRefusal::NotFound);
    assert_eq!(subscription.decide(cancel(Ender::OrderCalledOff)), refusal);
    when(&mut subscription, open(1));
    assert_eq!(subscription.decide(cancel(Ender::Principal(LEE))), refusal);
}

#[test]
fn a_payment_without_a_key_shows_from_the_first_day() {
    let SubscriptionCommand::OpenSubscription(command) = open(1) else { unreachable!() };
    let lost = OpenSubscription { key_missing: true, ..*command };
    let mut subscription = Subscription::default();
    when(&mut subscription, SubscriptionCommand::OpenSubscription(Box::new(lost)));
    assert_eq!(subscription.status(), Some(SubscriptionStatus::KeyMissing));
    when(&mut subscription, cancel(Ender::Principal(KIM)));
    assert_eq!(subscription.status(), Some(SubscriptionStatus::Cancelled));
}

//! Placing an order and asking to pay for it.

use contracts::events::{OrderEvent, OrderKind};
use contracts::{BillingKeyId, Claim, Won};

use super::*;
use crate::Effect;
use crate::fixtures::{ADMIN, LEE, days, kim};
use crate::kernel::{Refusal, RefusalKind};
use crate::order::{CLAIM_NUMBER, EXPIRES_AFTER, LINES_MAX, OrderStatus, PriceChange};

fn refused_placing(command: PlaceOrder) -> OrderRefusal {
    refused(&Order::Unplaced, placing(command))
}

#[test]
fn placing_takes_a_snapshot_of_every_amount() {
    let events = Order::Unplaced.decide(placing(place(two_lines()))).unwrap();
    let [OrderEvent::Placed { number, user_id, lines, total, vat, expires_at, .. }] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert!(number.as_str().starts_with("261123-"), "{number}");
    assert_eq!(*user_id, kim());
    assert_eq!(lines.iter().map(|line| line.line_no).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(lines[0].unit_price, won(9_000));
    assert_eq!((*total, *vat), (won(23_000), won(2_091)));
    assert_eq!(*expires_at, minute(0) + EXPIRES_AFTER);
    let claims = Order::claims(&events[0]);
    assert_eq!(claims, [Claim::Take { kind: CLAIM_NUMBER, name: number.to_string() }]);
    assert_eq!(given::<Order>(&events).effects(&events[0]), []);
    assert_eq!(given::<Order>(&events).status(), Some(OrderStatus::Placed));
}

#[test]
fn placing_twice_is_one_order_and_a_foreign_id_is_taken() {
    let order = order_after(vec![]);
    unchanged(&order, placing(place(two_lines())));
    let foreign = PlaceOrder { by: LEE, ..place(two_lines()) };
    assert_eq!(refused(&order, placing(foreign)), OrderRefusal::AlreadyPlaced);
}

#[test]
fn an_order_has_an_owner_lines_and_each_item_once() {
    let nobody = PlaceOrder { by: Principal::System, ..place(two_lines()) };
    assert_eq!(refused_placing(nobody), OrderRefusal::OwnerRequired);
    assert_eq!(refused_placing(place(vec![])), OrderRefusal::LineCount);
    let many = |count| (0..count).map(|number| offered(number, 100, 0, 1)).collect();
    assert_eq!(refused_placing(place(many(LINES_MAX as u128 + 1))), OrderRefusal::LineCount);
    assert!(Order::Unplaced.decide(placing(place(many(LINES_MAX as u128)))).is_ok());
    let twice = vec![offered(1, 100, 0, 1), offered(1, 100, 0, 1)];
    assert_eq!(refused_placing(place(twice)), OrderRefusal::RepeatedItem);
}

#[test]
fn periods_are_for_subscription_orders_and_for_each_of_their_lines() {
    let with_period = |period| OfferedLine { period, ..offered(1, 100, 0, 1) };
    let of_kind = |kind, period| PlaceOrder { kind, ..place(vec![with_period(period)]) };
    assert_eq!(
        refused_placing(of_kind(OrderKind::OneOff, Some(days(30)))),
        OrderRefusal::PeriodNotAllowed
    );
    assert_eq!(
        refused_placing(of_kind(OrderKind::Subscription, None)),
        OrderRefusal::PeriodRequired
    );
    let subscription = of_kind(OrderKind::Subscription, Some(days(30)));
    assert!(Order::Unplaced.decide(placing(subscription)).is_ok());
}

#[test]
fn a_withdrawn_item_cannot_be_ordered() {
    let withdrawn = OfferedLine { on_sale: false, ..offered(2, 100, 0, 1) };
    let refusal = refused_placing(place(vec![offered(1, 100, 0, 1), withdrawn]));
    assert_eq!(refusal, OrderRefusal::ItemWithdrawn { items: vec![item(2)] });
}

#[test]
fn a_total_is_neither_nothing_nor_more_than_an_order_may_cost() {
    for lines in [
        vec![offered(1, 100, 1000, 1)],
        vec![offered(1, 0, 0, 1)],
        vec![offered(1, 100_000_001, 0, 1)],
        vec![offered(1, i64::MAX, 0, 99)],
        vec![offered(1, i64::MAX, 0, 1), offered(2, i64::MAX, 0, 1)],
    ] {
        assert_eq!(refused_placing(place(lines)), OrderRefusal::TotalOutOfRange);
    }
}

#[test]
fn asking_to_pay_opens_the_first_attempt_and_asks_the_gateway_for_a_page() {
    let mut order = order_after(vec![]);
    let events = when(&mut order, request_payment(KIM, 1));
    let [
        requested @ OrderEvent::PaymentRequested {
            attempt: 1, quantity: 3, recurring: false, ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    let effects = order.effects(requested);
    let [Effect::PaymentReady(effect)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(effect.terms.amount, won(23_000));
    assert_eq!(effect.terms.tax_free, Won::ZERO);
    assert_eq!(effect.terms.vat, won(2_091));
    assert_eq!(effect.terms.partner_order_id.as_str(), format!("{}-1", order_id()));
    assert_eq!(effect.terms.billing_key, None);
    assert_eq!(effect.item_name.as_str(), "홍삼 1호 외 1건");
    assert_eq!(order.status(), Some(OrderStatus::AwaitingPayment));
}

#[test]
fn a_subscription_order_asks_for_a_recurring_key_with_its_real_amount() {
    let lines = vec![OfferedLine { period: Some(days(30)), ..offered(1, 10_000, 100, 1) }];
    let mut order = given::<Order>(&[]);
    let place = PlaceOrder { kind: OrderKind::Subscription, ..place(lines) };
    when(&mut order, placing(place));
    let events = when(&mut order, request_payment(KIM, 1));
    let effects = order.effects(&events[0]);
    let [Effect::PaymentReady(effect)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(effect.terms.amount, won(9_000));
    assert_eq!(effect.terms.billing_key, Some(BillingKeyId::of(order_id())));
    assert_eq!(effect.item_name.as_str(), "홍삼 1호");
}

#[test]
fn the_name_of_the_purchase_is_cut_on_a_character_and_keeps_its_ending() {
    let long = "가나다라마바사아자차".repeat(30);
    let mut lines = two_lines();
    lines[0].name = text(&long);
    let mut order = given::<Order>(&[]);
    when(&mut order, placing(place(lines)));
    when(&mut order, request_payment(KIM, 1));
    let name = order.latest_attempt().unwrap().item_name.as_str().to_owned();
    assert_eq!(name.chars().count(), 100);
    assert!(name.starts_with("가나다") && name.ends_with(" 외 1건"), "{name}");
}

#[test]
fn a_second_tab_gets_the_attempt_that_is_open() {
    unchanged(&order_after(vec![request_payment(KIM, 1)]), request_payment(KIM, 2));
    unchanged(&ready_order(), request_payment(KIM, 2));
    assert_eq!(refused(&ready_order(), request_payment(KIM, 16)), OrderRefusal::Expired);
    assert_eq!(refused(&approving_order(), request_payment(KIM, 4)), OrderRefusal::PaymentUnderWay);
}

#[test]
fn only_the_owner_pays() {
    let order = order_after(vec![]);
    for stranger in [LEE, ADMIN, Principal::System] {
        let refusal = refused(&order, request_payment(stranger, 1));
        assert_eq!(refusal, OrderRefusal::NotFound);
        assert_eq!(refusal.kind(), RefusalKind::NotFound);
    }
    assert_eq!(refused(&Order::Unplaced, request_payment(KIM, 1)), OrderRefusal::NotFound);
}

#[test]
fn a_changed_price_is_refused_with_the_new_amounts() {
    let order = order_after(vec![]);
    let current_offers = vec![(item(1), offer(12_000, 100)), (item(2), offer(5_000, 0))];
    let command = OrderCommand::RequestPayment { by: KIM, current_offers, at: minute(1) };
    let refusal = refused(&order, command);
    assert_eq!(refusal.code(), "order.price_changed");
    let change = PriceChange {
        item_id: item(1),
        item_name: text("홍삼 1호"),
        ordered: won(9_000),
        now: won(10_800),
    };
    assert_eq!(
        refusal,
        OrderRefusal::PriceChanged { changes: vec![change], new_total: won(26_600) }
    );
}

#[test]
fn an_item_that_left_the_shop_cannot_be_paid_for() {
    let order = order_after(vec![]);
    let withdrawn = ItemOffer { on_sale: false, ..offer(5_000, 0) };
    for current_offers in [
        vec![(item(1), offer(10_000, 100))],
        vec![(item(1), offer(10_000, 100)), (item(2), withdrawn)],
    ] {
        let command = OrderCommand::RequestPayment { by: KIM, current_offers, at: minute(1) };
        assert_eq!(refused(&order, command), OrderRefusal::ItemWithdrawn { items: vec![item(2)] });
    }
}

#[test]
fn an_order_whose_time_ran_out_cannot_be_paid_for() {
    let order = order_after(vec![]);
    assert!(order.decide(request_payment(KIM, 14)).is_ok());
    assert_eq!(refused(&order, request_payment(KIM, 15)), OrderRefusal::Expired);
}

/// F18: its outbox row may have died; the shopper waits for no page that will not come.
#[test]
fn an_attempt_that_got_no_page_in_time_gives_way_to_the_next() {
    let mut order = order_after(vec![request_payment(KIM, 1)]);
    unchanged(&order, request_payment(KIM, 2));
    let events = when(&mut order, request_payment(KIM, 3));
    assert_eq!(names(&events), ["PaymentAbandoned", "PaymentRequested"]);
    assert_eq!(order.latest_attempt().unwrap().number, 2);
    // The page of the first comes after all: it is not needed.
    unchanged(&order, ready(1));
    assert_eq!(names(&when(&mut order, ready(2))), ["PaymentReady"]);
}

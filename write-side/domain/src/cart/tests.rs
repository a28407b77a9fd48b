//! Given, when, then: what the cart decides.

use contracts::events::CartEvent;
use contracts::{CartKey, CartKind, OrderId};
use uuid::Uuid;

use super::{AddItem, Cart, CartCommand, CartRefusal, LINES_MAX};
use crate::fixtures::{ADMIN, KIM, LEE, days, given, item, kim, pieces, text, when, won};
use crate::kernel::{EventSourced, Refusal, RefusalKind};

const fn one_off() -> CartKey {
    CartKey { user_id: kim(), kind: CartKind::OneOff }
}

const fn subscription() -> CartKey {
    CartKey { user_id: kim(), kind: CartKind::Subscription }
}

fn ginseng(number: u128, count: i64) -> AddItem {
    AddItem {
        item_id: item(number),
        item_name: text("홍삼"),
        quantity: pieces(count),
        period: None,
        unit_price: won(9_000),
        on_sale: true,
    }
}

fn add(item: AddItem) -> CartCommand {
    CartCommand::AddItem { by: KIM, cart: one_off(), item }
}

fn cart_of(lines: &[(u128, i64)]) -> Cart {
    let mut cart = given::<Cart>(&[]);
    for (number, count) in lines {
        when(&mut cart, add(ginseng(*number, *count)));
    }
    cart
}

fn bought(order: u128, lines: &[(u128, i64)]) -> CartCommand {
    CartCommand::RemoveBought {
        cart: one_off(),
        order_id: OrderId::new(Uuid::from_u128(order)),
        lines: lines.iter().map(|(number, count)| (item(*number), pieces(*count))).collect(),
    }
}

fn counts(cart: &Cart) -> Vec<(u128, u32)> {
    let number = |id: contracts::ItemId| id.uuid().as_u128() - 0x1000;
    cart.lines().iter().map(|line| (number(line.item_id), line.quantity.count())).collect()
}

#[test]
fn adding_again_adds_up_to_the_cap_and_the_newest_price_wins() {
    let mut cart = cart_of(&[(1, 60)]);
    let dearer = AddItem { unit_price: won(9_500), ..ginseng(1, 60) };
    let events = when(&mut cart, add(dearer.clone()));
    let [CartEvent::ItemAdded { requested, quantity, .. }] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((requested.count(), quantity.count()), (60, 99));
    assert_eq!(cart.total(), Some(won(9_500 * 99)));
    assert_eq!(cart.decide(add(dearer)), Ok(vec![]));
}

#[test]
fn the_cart_knows_whether_the_cap_cut_the_latest_addition() {
    for (first, second, is_cut) in [(60, 39, false), (60, 40, true), (1, 1, false), (99, 1, false)]
    {
        let mut cart = cart_of(&[(1, first)]);
        when(&mut cart, add(ginseng(1, second)));
        assert_eq!(cart.latest_add_was_cut(), is_cut, "{first} and {second}");
    }
}

#[test]
fn a_cart_takes_a_hundred_lines_and_then_only_more_of_them() {
    let lines: Vec<_> = (0..LINES_MAX as u128).map(|number| (number, 1)).collect();
    let cart = cart_of(&lines);
    assert_eq!(cart.decide(add(ginseng(500, 1))), Err(CartRefusal::LineLimit));
    assert!(cart.decide(add(ginseng(5, 1))).is_ok());
    assert_eq!(CartRefusal::LineLimit.code(), "cart.line_limit");
}

#[test]
fn what_is_not_on_sale_stays_out() {
    let withdrawn = AddItem { on_sale: false, ..ginseng(1, 1) };
    assert_eq!(cart_of(&[]).decide(add(withdrawn)), Err(CartRefusal::ItemWithdrawn));
}

#[test]
fn periods_belong_to_the_subscription_cart_and_to_each_of_its_lines() {
    let monthly = AddItem { period: Some(days(30)), ..ginseng(1, 1) };
    assert_eq!(cart_of(&[]).decide(add(monthly.clone())), Err(CartRefusal::PeriodNotAllowed));
    let to_subscription = |item| CartCommand::AddItem { by: KIM, cart: subscription(), item };
    let mut cart = Cart::default();
    assert_eq!(cart.decide(to_subscription(ginseng(1, 1))), Err(CartRefusal::PeriodRequired));
    when(&mut cart, to_subscription(monthly));
    let change = |cart, number, period| CartCommand::ChangePeriod {
        by: KIM,
        cart,
        item_id: item(number),
        period: days(period),
    };
    assert_eq!(cart.decide(change(subscription(), 1, 30)), Ok(vec![]));
    assert_eq!(cart.decide(change(subscription(), 2, 30)), Err(CartRefusal::NoSuchLine));
    assert_eq!(
        cart_of(&[(1, 1)]).decide(change(one_off(), 1, 30)),
        Err(CartRefusal::PeriodNotAllowed)
    );
    when(&mut cart, change(subscription(), 1, 90));
    assert_eq!(cart.lines()[0].period, Some(days(90)));
}

#[test]
fn a_line_is_set_and_taken_out() {
    let mut cart = cart_of(&[(1, 2), (2, 1)]);
    let set = |number, count| CartCommand::ChangeQuantity {
        by: KIM,
        cart: one_off(),
        item_id: item(number),
        quantity: pieces(count),
    };
    when(&mut cart, set(1, 5));
    assert_eq!(cart.decide(set(1, 5)), Ok(vec![]));
    assert_eq!(cart.decide(set(9, 5)), Err(CartRefusal::NoSuchLine));
    assert_eq!(counts(&cart), [(1, 5), (2, 1)]);
    let remove = CartCommand::RemoveItem { by: KIM, cart: one_off(), item_id: item(1) };
    when(&mut cart, remove.clone());
    assert_eq!(cart.decide(remove), Ok(vec![]));
    assert_eq!(counts(&cart), [(2, 1)]);
    when(&mut cart, CartCommand::ClearCart { by: KIM, cart: one_off() });
    assert_eq!(cart.decide(CartCommand::ClearCart { by: KIM, cart: one_off() }), Ok(vec![]));
    assert_eq!(cart.total(), Some(won(0)));
    assert_eq!(cart.pieces(), 0);
}

#[test]
fn what_an_order_bought_leaves_once() {
    let mut cart = cart_of(&[(1, 5), (2, 1)]);
    when(&mut cart, bought(7, &[(1, 2), (2, 1), (3, 1)]));
    assert_eq!(counts(&cart), [(1, 3)]);
    when(&mut cart, add(ginseng(2, 4)));
    assert_eq!(cart.decide(bought(7, &[(1, 2), (2, 1)])), Ok(vec![]));
    when(&mut cart, bought(8, &[(1, 3), (2, 1)]));
    assert_eq!(counts(&cart), [(2, 3)]);
}

#[test]
fn a_cart_is_its_owners_alone() {
    let foreign = CartKey { user_id: kim(), kind: CartKind::Subscription };
    for command in [
        CartCommand::ClearCart { by: LEE, cart: one_off() },
        CartCommand::ClearCart { by: ADMIN, cart: one_off() },
        CartCommand::ClearCart { by: KIM, cart: foreign },
    ] {
        let refusal = cart_of(&[(1, 1)]).decide(command).unwrap_err();
        assert_eq!(refusal, CartRefusal::NotFound);
        assert_eq!(refusal.kind(), RefusalKind::NotFound);
    }
}

/// F18: the reaction came when none of the bought lines was left, and was repeated after a crash.
#[test]
fn an_order_that_found_none_of_its_lines_is_remembered_too() {
    let mut cart = cart_of(&[(2, 1)]);
    assert_eq!(when(&mut cart, bought(7, &[(1, 2)])).len(), 1);
    when(&mut cart, add(ginseng(1, 4)));
    assert_eq!(cart.decide(bought(7, &[(1, 2)])), Ok(vec![]));
    assert_eq!(counts(&cart), [(2, 1), (1, 4)]);
}

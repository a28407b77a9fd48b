//! The aggregates stay usable with the framework they are carried into: its test harness runs them.

#![expect(clippy::unwrap_used, reason = "a test panics when what it builds is wrong")]

use contracts::events::CartEvent;
use contracts::{CartKey, CartKind, ItemId, UserId};
use cqrs_es::test::TestFramework;
use domain::cart::{Cart, CartCommand, CartRefusal};
use domain::{Fact, Principal};
use uuid::Uuid;

const USER: UserId = UserId::new(Uuid::from_u128(1));
const CART: CartKey = CartKey { user_id: USER, kind: CartKind::OneOff };
const ITEM: ItemId = ItemId::new(Uuid::from_u128(2));

fn added() -> Fact<CartEvent> {
    Fact(CartEvent::ItemAdded {
        cart: CART,
        item_id: ITEM,
        item_name: contracts::Text::parse("홍삼").unwrap(),
        requested: contracts::Quantity::ONE,
        quantity: contracts::Quantity::ONE,
        period: None,
        unit_price: contracts::Won::try_from(9_000).unwrap(),
    })
}

#[test]
fn the_frameworks_harness_runs_a_cart() {
    let by = Principal::User(USER);
    TestFramework::<Cart>::with(())
        .given(vec![added()])
        .when(CartCommand::RemoveItem { by, cart: CART, item_id: ITEM })
        .then_expect_events(vec![Fact(CartEvent::ItemRemoved {
            cart: CART,
            item_id: ITEM,
            bought_in: None,
        })]);
    TestFramework::<Cart>::with(())
        .given_no_previous_events()
        .when(CartCommand::ChangeQuantity {
            by,
            cart: CART,
            item_id: ITEM,
            quantity: contracts::Quantity::ONE,
        })
        .then_expect_error(CartRefusal::NoSuchLine);
}

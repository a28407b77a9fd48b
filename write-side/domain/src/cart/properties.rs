//! Whatever is put in and taken out, in whatever sequence: a cart stays within its limits.

use contracts::events::CartEvent;
use contracts::{CartKey, CartKind, OrderId, Quantity};
use proptest::prelude::*;
use uuid::Uuid;

use super::{AddItem, Cart, CartCommand, LINES_MAX};
use crate::fixtures::{KIM, LEE, days, item, kim, pieces, text, won};
use crate::kernel::EventSourced;

fn command(kind: CartKind) -> impl Strategy<Value = CartCommand> {
    let cart = CartKey { user_id: kim(), kind };
    let by = || prop_oneof![9 => Just(KIM), 1 => Just(LEE)];
    let which = || (0_u128..130).prop_map(item);
    let count = || (1_i64..=99).prop_map(pieces);
    let period = || prop::option::of(prop_oneof![Just(days(30)), Just(days(90))]);
    prop_oneof![
        8 => (by(), which(), count(), period(), prop::bool::weighted(0.9)).prop_map(
            move |(by, item_id, quantity, period, on_sale)| CartCommand::AddItem {
                by,
                cart,
                item: AddItem {
                    item_id,
                    item_name: text("홍삼"),
                    quantity,
                    period,
                    unit_price: won(1_000),
                    on_sale,
                },
            }
        ),
        2 => (by(), which(), count()).prop_map(move |(by, item_id, quantity)| {
            CartCommand::ChangeQuantity { by, cart, item_id, quantity }
        }),
        1 => (by(), which()).prop_map(move |(by, item_id)| CartCommand::ChangePeriod {
            by,
            cart,
            item_id,
            period: days(60),
        }),
        1 => (by(), which()).prop_map(move |(by, item_id)| {
            CartCommand::RemoveItem { by, cart, item_id }
        }),
        1 => (0_u128..4, prop::collection::vec((which(), count()), 0..5)).prop_map(
            move |(order, lines)| CartCommand::RemoveBought {
                cart,
                order_id: OrderId::new(Uuid::from_u128(order)),
                lines,
            }
        ),
    ]
}

fn check_limits(cart: &Cart, kind: CartKind) {
    assert!(cart.lines().len() <= LINES_MAX);
    let mut items: Vec<_> = cart.lines().iter().map(|line| line.item_id).collect();
    items.sort_unstable();
    items.dedup();
    assert_eq!(items.len(), cart.lines().len(), "an item stands in two lines");
    for line in cart.lines() {
        assert!((1..=Quantity::MAX).contains(&line.quantity.count()));
        assert_eq!(line.period.is_some(), kind == CartKind::Subscription);
    }
    assert!(cart.total().is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_cart_stays_within_its_limits_after_any_sequence(
        (kind, commands) in prop_oneof![Just(CartKind::OneOff), Just(CartKind::Subscription)]
            .prop_flat_map(|kind| (Just(kind), prop::collection::vec(command(kind), 1..250))),
    ) {
        let mut cart = Cart::default();
        let mut history: Vec<CartEvent> = Vec::new();
        for command in commands {
            for event in cart.decide(command).unwrap_or_default() {
                cart.evolve(&event);
                history.push(event);
            }
            check_limits(&cart, kind);
        }
        prop_assert_eq!(&cart, &Cart::replay(&history));
        history.reverse();
        drop(Cart::replay(&history));
    }
}

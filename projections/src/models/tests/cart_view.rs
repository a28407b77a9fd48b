//! What lies in a cart.

use contracts::ItemId;
use contracts::events::CartEvent;
use serde_json::{Value, json};
use uuid::Uuid;

use super::given::{added, cart};
use super::log::{A, Log};
use crate::cell::Cell;

#[test]
fn an_item_added_again_keeps_its_place_and_takes_the_newest_price() {
    let (item_id, bought_in) = (ItemId::new(Uuid::from_u128(2)), None);
    let log = Log::default()
        .with(A, &added(1, 2, 900))
        .with(A, &added(2, 1, 500))
        .with(A, &added(1, 5, 800))
        .with(A, &CartEvent::ItemRemoved { cart: cart(), item_id, bought_in })
        .with(A, &added(2, 9, 500));
    let Cell::Text(lines) = log.only("cart_view", 4) else { panic!() };
    let lines: Value = serde_json::from_str(&lines).unwrap();
    let expected = |item: u128, quantity, unit_price| {
        json!({
            "itemId": Uuid::from_u128(item), "itemName": "루테인", "quantity": quantity,
            "unitPrice": unit_price,
        })
    };
    assert_eq!(lines, json!([expected(1, 5, 800), expected(2, 9, 500)]));
    assert_eq!(log.only("cart_view", 5), Cell::BigInt(5));
}

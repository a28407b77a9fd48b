//! What happens to a cart. Every event names its cart, so that a reader needs no other row.

use serde::{Deserialize, Serialize};

use super::event_body;
use crate::{CartKey, ItemId, OrderId, Period, Quantity, Text, Won};

/// Facts about one cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CartEvent {
    /// An item was put in; if it was in already, the quantities were added.
    #[serde(rename = "CartItemAdded")]
    ItemAdded {
        /// Whose cart.
        cart: CartKey,
        /// What was added.
        item_id: ItemId,
        /// Its name on that day.
        item_name: Text<300>,
        /// How many were asked for.
        requested: Quantity,
        /// How many the line has now, after the cap of 99.
        quantity: Quantity,
        /// How often it comes; only and always in the subscription cart.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        period: Option<Period>,
        /// The price of one piece when it was added; newest wins.
        unit_price: Won,
    },
    /// A line's quantity was set, by the shopper or because part of it was bought.
    #[serde(rename = "CartQuantityChanged")]
    QuantityChanged {
        /// Whose cart.
        cart: CartKey,
        /// Which line.
        item_id: ItemId,
        /// How many the line has now.
        quantity: Quantity,
        /// The paid order that took the rest of the line, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bought_in: Option<OrderId>,
    },
    /// A line of the subscription cart comes in another rhythm.
    #[serde(rename = "CartPeriodChanged")]
    PeriodChanged {
        /// Whose cart.
        cart: CartKey,
        /// Which line.
        item_id: ItemId,
        /// The new rhythm.
        period: Period,
    },
    /// A line left the cart, taken out by the shopper or bought.
    #[serde(rename = "CartItemRemoved")]
    ItemRemoved {
        /// Whose cart.
        cart: CartKey,
        /// Which line.
        item_id: ItemId,
        /// The paid order that took the line, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bought_in: Option<OrderId>,
    },
    /// An order that came from this cart was paid, and none of its lines was left in it.
    #[serde(rename = "CartOrderBought")]
    OrderBought {
        /// Whose cart.
        cart: CartKey,
        /// The paid order.
        order_id: OrderId,
    },
    /// All lines left the cart.
    #[serde(rename = "CartCleared")]
    Cleared {
        /// Whose cart.
        cart: CartKey,
    },
}

event_body!(CartEvent, "cart", {
    ItemAdded => "CartItemAdded" v 1,
    QuantityChanged => "CartQuantityChanged" v 1,
    PeriodChanged => "CartPeriodChanged" v 1,
    ItemRemoved => "CartItemRemoved" v 1,
    OrderBought => "CartOrderBought" v 1,
    Cleared => "CartCleared" v 1,
});

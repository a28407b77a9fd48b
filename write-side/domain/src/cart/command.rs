//! What can be asked of a cart.

use contracts::{CartKey, ItemId, OrderId, Period, Quantity, Text, Won};

use crate::kernel::Principal;

/// What is put in: read from the item aggregate by the handler, not from a projection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddItem {
    /// What.
    pub item_id: ItemId,
    /// Its name today.
    pub item_name: Text<300>,
    /// How many more.
    pub quantity: Quantity,
    /// How often it comes; only and always for the subscription cart.
    pub period: Option<Period>,
    /// The price of one piece today.
    pub unit_price: Won,
    /// Whether it can be bought today.
    pub on_sale: bool,
}

/// A command to one cart; its stream is `cart.id()`.
#[derive(Debug, Clone)]
pub enum CartCommand {
    /// Puts an item in; pieces of a line that exists are added up to 99.
    AddItem {
        /// The owner.
        by: Principal,
        /// Which cart.
        cart: CartKey,
        /// What is put in.
        item: AddItem,
    },
    /// Sets the quantity of a line.
    ChangeQuantity {
        /// The owner.
        by: Principal,
        /// Which cart.
        cart: CartKey,
        /// Which line.
        item_id: ItemId,
        /// How many from here on.
        quantity: Quantity,
    },
    /// Sets the rhythm of a line of the subscription cart.
    ChangePeriod {
        /// The owner.
        by: Principal,
        /// Which cart.
        cart: CartKey,
        /// Which line.
        item_id: ItemId,
        /// The new rhythm.
        period: Period,
    },
    /// Takes a line out; no event when it isn't in.
    RemoveItem {
        /// The owner.
        by: Principal,
        /// Which cart.
        cart: CartKey,
        /// Which line.
        item_id: ItemId,
    },
    /// Takes all lines out.
    ClearCart {
        /// The owner.
        by: Principal,
        /// Which cart.
        cart: CartKey,
    },
    /// Takes out what a paid order bought, once an order.
    RemoveBought {
        /// Which cart.
        cart: CartKey,
        /// The paid order.
        order_id: OrderId,
        /// What it bought.
        lines: Vec<(ItemId, Quantity)>,
    },
}

impl CartCommand {
    /// On whose authority, and to which cart.
    pub const fn addressed(&self) -> (Principal, CartKey) {
        match self {
            Self::AddItem { by, cart, .. }
            | Self::ChangeQuantity { by, cart, .. }
            | Self::ChangePeriod { by, cart, .. }
            | Self::RemoveItem { by, cart, .. }
            | Self::ClearCart { by, cart } => (*by, *cart),
            Self::RemoveBought { cart, .. } => (Principal::System, *cart),
        }
    }
}

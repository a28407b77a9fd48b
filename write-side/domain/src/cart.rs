//! A cart: lines of one user that may become an order.
//!
//! A cart needs no creation and has no totals: they are derived from the lines
//! ([`Cart::total`]). At most [`LINES_MAX`] lines, each item once. What was bought leaves the cart
//! by [`CartCommand::RemoveBought`], once an order however often it is asked.

mod command;
#[cfg(test)]
mod properties;
mod refusal;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use contracts::events::CartEvent;
use contracts::{CartKey, CartKind, ItemId, OrderId, Period, Quantity, Text, Won};
use serde::{Deserialize, Serialize};

pub use self::command::{AddItem, CartCommand};
pub use self::refusal::CartRefusal;
use crate::kernel::{EventSourced, Principal};
use crate::pricing;

/// The most lines a cart may have; an order takes as many.
pub const LINES_MAX: usize = 100;
/// How many of the latest orders a cart remembers as taken out. A reaction repeats within seconds,
/// not after two hundred orders of the same person.
const BOUGHT_REMEMBERED_MAX: usize = 200;

/// One cart; empty until something is put in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cart {
    key: Option<CartKey>,
    lines: Vec<CartLine>,
    bought: VecDeque<OrderId>,
    latest_add_was_cut: bool,
}

/// One line of a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartLine {
    /// What.
    pub item_id: ItemId,
    /// Its name when it was last added.
    pub item_name: Text<300>,
    /// How many.
    pub quantity: Quantity,
    /// How often it comes; in the subscription cart always, otherwise never.
    pub period: Option<Period>,
    /// The price of one piece when it was last added.
    pub unit_price: Won,
}

impl Cart {
    /// The lines, in the order they were put in.
    pub fn lines(&self) -> &[CartLine] {
        &self.lines
    }

    /// The line of this item.
    pub fn line(&self, item_id: ItemId) -> Option<&CartLine> {
        self.lines.iter().find(|line| line.item_id == item_id)
    }

    /// Whether the latest addition brought fewer pieces than asked for, because a line has at most
    /// [`Quantity::MAX`].
    pub const fn latest_add_was_cut(&self) -> bool {
        self.latest_add_was_cut
    }

    /// Sum of price times quantity at the prices of adding; `None` when it doesn't fit.
    pub fn total(&self) -> Option<Won> {
        pricing::sum_of_lines(self.lines.iter().map(|line| (line.unit_price, line.quantity)))
    }

    /// Pieces in all.
    pub fn pieces(&self) -> u32 {
        self.lines.iter().map(|line| line.quantity.count()).sum()
    }

    /// Only its owner touches a cart, and a stream is one cart for ever.
    fn check_owner(&self, by: Principal, cart: CartKey) -> Result<(), CartRefusal> {
        let is_owner = match by {
            Principal::User(user_id) | Principal::Admin(user_id) => user_id == cart.user_id,
            Principal::System => true,
        };
        let is_this_cart = self.key.is_none_or(|known| known == cart);
        if is_owner && is_this_cart { Ok(()) } else { Err(CartRefusal::NotFound) }
    }

    fn add(&self, cart: CartKey, added: AddItem) -> Result<Vec<CartEvent>, CartRefusal> {
        if !added.on_sale {
            return Err(CartRefusal::ItemWithdrawn);
        }
        match (cart.kind, added.period) {
            (CartKind::Subscription, None) => return Err(CartRefusal::PeriodRequired),
            (CartKind::OneOff, Some(_)) => return Err(CartRefusal::PeriodNotAllowed),
            (CartKind::Subscription, Some(_)) | (CartKind::OneOff, None) => {}
        }
        let line = self.line(added.item_id);
        if line.is_none() && LINES_MAX <= self.lines.len() {
            return Err(CartRefusal::LineLimit);
        }
        let quantity = line.map_or(added.quantity, |line| line.quantity.capped_add(added.quantity));
        let changed = CartLine {
            item_id: added.item_id,
            item_name: added.item_name,
            quantity,
            period: added.period,
            unit_price: added.unit_price,
        };
        // A line at the cap that stays as it is: nothing happened.
        if line == Some(&changed) {
            return Ok(Vec::new());
        }
        Ok(vec![CartEvent::ItemAdded {
            cart,
            item_id: changed.item_id,
            item_name: changed.item_name,
            requested: added.quantity,
            quantity,
            period: changed.period,
            unit_price: changed.unit_price,
        }])
    }

    fn change_quantity(
        &self,
        cart: CartKey,
        item_id: ItemId,
        quantity: Quantity,
    ) -> Result<Vec<CartEvent>, CartRefusal> {
        let line = self.line(item_id).ok_or(CartRefusal::NoSuchLine)?;
        if line.quantity == quantity {
            return Ok(Vec::new());
        }
        Ok(vec![CartEvent::QuantityChanged { cart, item_id, quantity, bought_in: None }])
    }

    fn change_period(
        &self,
        cart: CartKey,
        item_id: ItemId,
        period: Period,
    ) -> Result<Vec<CartEvent>, CartRefusal> {
        if cart.kind == CartKind::OneOff {
            return Err(CartRefusal::PeriodNotAllowed);
        }
        let line = self.line(item_id).ok_or(CartRefusal::NoSuchLine)?;
        if line.period == Some(period) {
            return Ok(Vec::new());
        }
        Ok(vec![CartEvent::PeriodChanged { cart, item_id, period }])
    }

    fn remove_bought(
        &self,
        cart: CartKey,
        order_id: OrderId,
        bought: &[(ItemId, Quantity)],
    ) -> Vec<CartEvent> {
        // The reaction may come again after a crash; what the shopper put in since stays.
        if self.bought.contains(&order_id) {
            return Vec::new();
        }
        let left_of = |(item_id, bought): &(ItemId, Quantity)| {
            let line = self.line(*item_id)?;
            let left = i64::from(line.quantity) - i64::from(*bought);
            Some(match Quantity::try_from(left) {
                Ok(quantity) => CartEvent::QuantityChanged {
                    cart,
                    item_id: *item_id,
                    quantity,
                    bought_in: Some(order_id),
                },
                Err(_nothing_left) => {
                    CartEvent::ItemRemoved { cart, item_id: *item_id, bought_in: Some(order_id) }
                }
            })
        };
        let left: Vec<CartEvent> = bought.iter().filter_map(left_of).collect();
        if left.is_empty() {
            // Remembered like the others, so that a repetition takes out nothing added since.
            return vec![CartEvent::OrderBought { cart, order_id }];
        }
        left
    }

    fn line_mut(&mut self, item_id: ItemId) -> Option<&mut CartLine> {
        self.lines.iter_mut().find(|line| line.item_id == item_id)
    }

    fn remember_bought(&mut self, order: Option<OrderId>) {
        let Some(order_id) = order.filter(|order_id| !self.bought.contains(order_id)) else {
            return;
        };
        if BOUGHT_REMEMBERED_MAX <= self.bought.len() {
            self.bought.pop_front();
        }
        self.bought.push_back(order_id);
    }
}

impl EventSourced for Cart {
    type Body = CartEvent;
    type Order = CartCommand;
    type Refused = CartRefusal;

    fn decide(&self, command: CartCommand) -> Result<Vec<CartEvent>, CartRefusal> {
        let (by, cart) = command.addressed();
        self.check_owner(by, cart)?;
        match command {
            CartCommand::AddItem { item, .. } => self.add(cart, item),
            CartCommand::ChangeQuantity { item_id, quantity, .. } => {
                self.change_quantity(cart, item_id, quantity)
            }
            CartCommand::ChangePeriod { item_id, period, .. } => {
                self.change_period(cart, item_id, period)
            }
            CartCommand::RemoveItem { item_id, .. } => Ok(self
                .line(item_id)
                .map(|_line| CartEvent::ItemRemoved { cart, item_id, bought_in: None })
                .into_iter()
                .collect()),
            CartCommand::ClearCart { .. } if self.lines.is_empty() => Ok(Vec::new()),
            CartCommand::ClearCart { .. } => Ok(vec![CartEvent::Cleared { cart }]),
            CartCommand::RemoveBought { order_id, lines, .. } => {
                Ok(self.remove_bought(cart, order_id, &lines))
            }
        }
    }

    fn evolve(&mut self, event: &CartEvent) {
        match event {
            CartEvent::ItemAdded {
                cart,
                item_id,
                item_name,
                requested,
                quantity,
                period,
                unit_price,
            } => {
                self.key = Some(*cart);
                let before = self.line(*item_id).map_or(0, |line| line.quantity.count());
                self.latest_add_was_cut = quantity.count() < before + requested.count();
                let line = CartLine {
                    item_id: *item_id,
                    item_name: item_name.clone(),
                    quantity: *quantity,
                    period: *period,
                    unit_price: *unit_price,
                };
                match self.line_mut(*item_id) {
                    Some(known) => *known = line,
                    None => self.lines.push(line),
                }
            }
            CartEvent::QuantityChanged { cart, item_id, quantity, bought_in } => {
                self.key = Some(*cart);
                if let Some(line) = self.line_mut(*item_id) {
                    line.quantity = *quantity;
                }
                self.remember_bought(*bought_in);
            }
            CartEvent::PeriodChanged { cart, item_id, period } => {
                self.key = Some(*cart);
                if let Some(line) = self.line_mut(*item_id) {
                    line.period = Some(*period);
                }
            }
            CartEvent::ItemRemoved { cart, item_id, bought_in } => {
                self.key = Some(*cart);
                self.lines.retain(|line| line.item_id != *item_id);
                self.remember_bought(*bought_in);
            }
            CartEvent::OrderBought { cart, order_id } => {
                self.key = Some(*cart);
                self.remember_bought(Some(*order_id));
            }
            CartEvent::Cleared { cart } => {
                self.key = Some(*cart);
                self.lines.clear();
            }
        }
    }
}

crate::aggregate!(Cart, CartEvent, CartCommand, CartRefusal);

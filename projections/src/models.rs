//! The read models of the shop, and what several of their folds have in common.

pub mod cart_view;
pub mod category_totals;
pub mod item_by_category;
pub mod item_detail;
mod listing;
pub mod order_history;
pub mod payment_ledger;
#[cfg(test)]
mod tests;
mod written;

use std::marker::PhantomData;

use crate::working::{Model, Of};

/// The name under which every item in the shop window is listed, whatever its categories.
pub const ALL_CATEGORIES: &str = "ALL";

/// Every read model, in the order in which they are shown.
pub(crate) static MODELS: [&dyn Model; 6] = [
    &Of::<item_by_category::ItemByCategory>(PhantomData),
    &Of::<item_detail::ItemDetail>(PhantomData),
    &Of::<category_totals::CategoryTotals>(PhantomData),
    &Of::<cart_view::CartView>(PhantomData),
    &Of::<order_history::OrderHistory>(PhantomData),
    &Of::<payment_ledger::PaymentLedger>(PhantomData),
];

/// The read model with this name.
pub(crate) fn model(name: &str) -> Option<&'static dyn Model> {
    MODELS.into_iter().find(|model| model.name() == name)
}

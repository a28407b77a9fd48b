//! The shapes of answers. Catalogue bodies are stored ready to send; their types here describe them.

mod catalogue;
mod examples;
mod own;

pub(crate) use catalogue::{CategoryList, ItemDetail, ItemPage, MainPage, PageInfo};
pub(crate) use own::{
    CartLine, CartTotals, CartView, OrderDetail, OrderPage, OrderStatus, OrderSummary, PaymentView,
    ReceiverView,
};

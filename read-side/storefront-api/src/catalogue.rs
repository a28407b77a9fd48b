//! The shop window: lists in every order, the product page, the main page, the categories.
//!
//! A list is one index range scan over rows that are shaped like the answer; its body is the stored
//! cards put one after the other, never parsed and never sorted here.

mod bodies;
mod cursor;
mod query;
mod search;
mod shelf;
mod statements;
mod store;
mod window;

#[cfg(test)]
mod plans;

pub(crate) use cursor::Cursor;
pub(crate) use query::{
    CategoryName, Filters, ListQuery, Sort, Term, offset, page_number, page_size,
};
pub(crate) use store::Store;
pub(crate) use window::{Page, Question, Window};

/// The projections that lists, main page and categories read.
pub(crate) const LIST_PROJECTIONS: [&str; 2] = ["item_by_category", "category_totals"];
/// The projection that the product page reads.
pub(crate) const DETAIL_PROJECTIONS: [&str; 1] = ["item_detail"];

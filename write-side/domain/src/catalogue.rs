//! What the catalogue import decides: on which shelves a product stands, and what it costs in a
//! demonstration. Pure functions of the open data; the reading of files is the import's.

mod classify;
mod demo_price;
mod phrases;

pub use classify::classify;
pub use demo_price::{DemoPrice, demo_price};

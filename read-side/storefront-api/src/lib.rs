//! Answers questions over the read models: the shop window, own carts, own orders.
//!
//! It reads and never writes; it sends no command, and no answer of it decides one. Catalogue pages
//! come out of a small cache or off an index; a client that must see its own write says which one
//! and waits for it ([`freshness`]). Everything it answers is described in `/openapi.json`.

mod api;
mod catalogue;
mod config;
mod freshness;
mod http;
mod metrics;
mod own;
#[cfg(test)]
mod plan;
mod read_error;
mod run;
mod search_limit;
mod state;

pub use config::{NoSwitch, StorefrontConfig, Switch};
pub use run::{Assembled, Listeners, StorefrontError, assemble, run, run_on};

//! The manners every API of ours has, so that no handler has to think of them.
//!
//! [`standard`] gives an app request ids, a body limit, security headers, access metrics, and
//! problem+json for whatever goes wrong: a panic, an unknown route, a body that cannot be read.
//! [`serve`] runs it and drains it. [`ops_routes`] tell an operator how the process is doing.

mod cors;
mod errors;
mod ops;
mod serve;
mod standard;

pub use cors::open_to;
pub use errors::problem_from;
pub use ops::{Health, ops_routes};
pub use serve::{DRAIN_WAIT_MAX, Listener, ServeError, serve};
pub use standard::{
    BODY_BYTES_MAX, BODY_WAIT_MAX, REQUEST_SECONDS, REQUESTS_TOTAL, StandardEndpoint, describe,
    standard,
};

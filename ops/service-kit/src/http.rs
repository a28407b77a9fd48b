//! The manners every API of ours has, so that no handler has to think of them.
//!
//! [`standard`] gives an app request ids, a body limit, security headers, access metrics, and
//! problem+json for whatever goes wrong: a panic, an unknown route, a body that cannot be read.
//! [`serve_with`] runs it within the limits of its listener and drains it. [`ops_routes`] tell an
//! operator how the process is doing.

pub(crate) mod access;
mod bodies;
mod client_address;
mod connection;
mod contract;
mod cors;
mod edge;
mod errors;
mod limit;
mod ops;
mod serve;
mod standard;

pub use bodies::{BODY_BYTES_MAX, BODY_WAIT_MAX};
pub use client_address::{ClientAddress, TrustedProxies};
pub use contract::{Contract, ContractEndpoint};
pub use cors::{Origins, open_to};
pub use edge::{
    AddressPlace, Addresses, CONNECTIONS_PER_ADDRESS, EdgeConfig, HEAD_WAIT_MAX, IDLE_WAIT_MAX,
    Limits, RESERVED_PLACES, address_block, descriptors_max, network_block,
};
pub use errors::problem_from;
pub use limit::{AddressLimit, Allowance, Limit};
pub use ops::{Health, Version, ops_routes};
pub use serve::{DRAIN_WAIT_MAX, Listener, ServeError, serve, serve_with};
pub use standard::{REQUEST_SECONDS, REQUESTS_TOTAL, StandardEndpoint, describe, standard};

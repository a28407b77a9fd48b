//! The query API on a real PostgreSQL, called without sockets.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

mod app;
mod carts;
mod catalogue;
mod command_line;
mod conventions;
mod freshness;
mod openapi;
mod orders;
mod outage;
mod projected;
mod searches;
#[cfg(test)]
mod signals;

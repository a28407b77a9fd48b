//! The query API on a real PostgreSQL, called without sockets.

mod app;
mod carts;
mod catalogue;
mod conventions;
mod freshness;
mod openapi;
mod orders;
mod projected;

//! The command API against a real PostgreSQL, called as HTTP calls it.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

mod accounts;
mod carts;
mod catalogue;
mod command_line;
mod edge;
mod limits;
mod manners;
mod operating;
mod orders;
mod payments;
mod policy;
mod redis_tls;
mod returns;
mod security_log;
mod signals;
mod support;

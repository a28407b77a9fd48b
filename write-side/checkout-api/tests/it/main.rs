//! The command API against a real PostgreSQL, called as HTTP calls it.

mod accounts;
mod carts;
mod catalogue;
mod manners;
mod orders;
mod payments;
mod policy;
mod returns;
mod support;

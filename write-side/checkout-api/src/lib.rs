//! The command API: HTTP in, commands out.
//!
//! Every request becomes at most one command to one aggregate; what was accepted is in the log
//! before it is answered, and goes on although the client goes away. Nothing here decides by a
//! projection, calls the payment gateway, or needs Redis. A request under an `Idempotency-Key` is
//! carried out once; who asks comes from the access token alone.
//!
//! [`run`] is the process; the binary and the embedded shop both call it.

mod accounts;
mod admin;
mod api;
mod breaker;
mod config;
mod http;
pub mod import;
mod limits;
mod metrics;
mod ordering;
mod outcomes;
mod problems;
mod run;
mod shop;

pub use admin::{AdminCreated, CreateAdminError, NewAdmin, create_admin};
pub use config::{CheckoutConfig, FeedWatcher, VARIABLES};
pub use limits::LimitConfig;
pub use run::{Assembled, Listeners, RunError, assemble, run, run_on};

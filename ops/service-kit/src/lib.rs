//! What every process needs and no process should invent again.
//!
//! Configuration, telemetry, clock, shutdown, pools, problems, HTTP manners, tokens and the sealing
//! of personal data. It knows nothing of carts, orders or payments: a word of the business in here
//! is in the wrong crate.

mod allocator;
pub mod batch;
pub mod build;
pub mod causes;
pub mod cli;
pub mod clock;
pub mod clock_source;
pub mod config;
pub mod database_role;
pub mod digest;
pub mod fault;
pub mod http;
pub mod pools;
pub mod problem;
pub mod request_id;
pub mod return_url;
pub mod security;
pub mod shutdown;
pub mod skew;
pub mod telemetry;
pub mod tokens;
pub mod vault;

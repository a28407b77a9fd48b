//! What tests stand on: real PostgreSQL and Redis, a database per test, waiting without sleeping,
//! and a network that fails when told to.
//!
//! [`TestDatabase::fresh`] is what most tests need. [`PrivatePostgres`] and [`PrivateRedis`] are
//! servers of one's own, also behind `ops/shop`. Nothing here touches a server that the machine
//! already runs. Panics instead of returning errors where only a test can call it.

mod account;
mod binary;
mod calls;
mod chaos;
mod database;
mod error;
mod eventually;
pub mod keys;
mod log_lines;
mod postgres;
mod process;
mod redis;
mod roles;
mod service_binary;
mod shared;

pub use self::redis::PrivateRedis;
pub use binary::{Binary, body_at, promtool, refuses_alike};
pub use calls::{CallProxy, Cut};
pub use chaos::ChaosProxy;
pub use database::{TestDatabase, TestRedis};
pub use error::ServiceError;
pub use eventually::eventually;
pub use log_lines::LogLines;
pub use postgres::{Durability, PrivatePostgres};
pub use process::free_port;
pub use roles::{Login, Logins, url_as};
pub use service_binary::ServiceBinary;
pub use shared::{POSTGRES_VARIABLE, REDIS_VARIABLE};

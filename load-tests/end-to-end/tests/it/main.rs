//! The whole shop in real processes, on real PostgreSQL and Redis, killed at the worst moments.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod bad_network;
mod chaos;
mod demo;
mod front;
mod graceful_end;
mod one_charge;
mod postgres_restarts;
mod redis_away;
mod support;
mod two_shops;
mod zombie;

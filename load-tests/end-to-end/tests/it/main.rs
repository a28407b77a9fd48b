//! The whole shop in real processes, on real PostgreSQL and Redis, killed at the worst moments.

mod bad_network;
mod chaos;
mod demo;
mod graceful_end;
mod one_charge;
mod postgres_restarts;
mod redis_away;
mod support;
mod two_shops;
mod zombie;

//! The whole shop in real processes, on real PostgreSQL and Redis, killed at the worst moments.

mod one_charge;
mod support;
mod zombie;

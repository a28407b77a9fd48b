//! The test kit against the real servers.

mod chaos;
mod database;
mod servers;
mod with_services;

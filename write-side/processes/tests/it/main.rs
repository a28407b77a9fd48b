//! The worker against a real PostgreSQL and a simulated KakaoPay, in every way it can go wrong.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod announcing;
mod answers;
mod assumptions;
mod claims;
mod command_line;
mod crashes;
mod dry_check;
mod ended;
mod expiry;
mod faults;
mod issued_keys;
mod keys;
mod lagging;
mod leases;
mod log_lines;
mod merchants;
mod moving;
mod nets;
mod nth_call;
mod nth_database_call;
mod old_sessions;
mod operating;
mod ordering;
mod other_gateway;
mod owed;
mod reacting;
mod reconciling;
mod reporting;
mod resolving;
mod signals;
mod stumbling;
mod throttling;
mod unknown;
mod unreadable;
mod world;

//! The client against a simulated KakaoPay, against a socket that misbehaves, and against the
//! vendor's own sample bodies.

#![expect(clippy::expect_used, reason = "steps shared by tests fail the test that takes them")]

mod calls;
mod faults;
mod omitted;
mod refusals;
mod samples;
mod shop;
mod socket;
mod transport;

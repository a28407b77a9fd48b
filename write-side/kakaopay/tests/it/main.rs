//! The client against a simulated KakaoPay, against a socket that misbehaves, and against the
//! vendor's own sample bodies.

mod calls;
mod faults;
mod refusals;
mod samples;
mod shop;
mod socket;
mod transport;

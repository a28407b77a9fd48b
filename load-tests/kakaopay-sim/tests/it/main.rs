//! The simulator as its callers and its shoppers meet it: over HTTP, and through its handle.

#![expect(clippy::expect_used, reason = "steps shared by tests fail the test that takes them")]

mod assuming;
mod controls;
mod disturbing;
mod merchant;
mod pay_page;
mod restart;

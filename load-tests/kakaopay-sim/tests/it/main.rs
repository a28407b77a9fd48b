//! The simulator as its callers and its shoppers meet it: over HTTP, and through its handle.

mod controls;
mod merchant;
mod pay_page;
mod restart;

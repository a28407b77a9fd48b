//! The `checkout-api` process.

fn main() {}

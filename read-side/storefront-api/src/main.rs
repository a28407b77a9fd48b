//! The `storefront-api` process.

fn main() {}

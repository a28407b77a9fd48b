//! The `shop` process.

fn main() {}

//! The `migrator` process.

fn main() {}

//! The `bench` process.

fn main() {}

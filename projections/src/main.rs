//! The `projector` process.

fn main() {}

//! The `kakaopay-sim` process.

fn main() {}

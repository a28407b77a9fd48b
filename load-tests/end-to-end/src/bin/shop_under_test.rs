//! The whole shop as a process that a test may kill: the same `main` as `shop`.

use std::process::ExitCode;

fn main() -> ExitCode {
    shop::main()
}

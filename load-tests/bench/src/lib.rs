//! Side-by-side measurements: ours and what it is compared with, in the same run, on the same data.
//!
//! Every figure is a ratio of medians over interleaved rounds, because machines are shared and
//! noisy. Each benchmark prints a table and, as its last line, one JSON object.
#![expect(clippy::float_arithmetic, reason = "rates and ratios of measurements, no money")]

pub mod append;
pub mod approve;
pub mod breaker;
pub mod report;
pub mod world;

//! The allocator of every process that links this crate.
//!
//! A worker holds thousands of small things at once and lets go of them in another order; the C
//! library's allocator spent a third of the worker's time on finding holes for the next ones.

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

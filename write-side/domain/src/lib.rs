//! Aggregates, pricing and policies: decides, and does nothing else.
//!
//! Everything here is a pure function of state and command. Time, ids and random values arrive in
//! the command; what must happen outside is returned as an [`Effect`] and carried out by others.

pub mod cart;
pub mod catalogue;
pub mod effects;
pub mod item;
pub mod kernel;
pub mod order;
pub mod pricing;
pub mod settlement;
pub mod subscription;
pub mod user;

#[cfg(test)]
mod fixtures;

pub use effects::Effect;
pub use kernel::{EventSourced, Fact, Principal, Refusal, RefusalKind};
pub use settlement::Settlement;

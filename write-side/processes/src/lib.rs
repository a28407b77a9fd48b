//! Outbox relay, reactions and schedules: everything that happens without anybody asking for it at
//! that moment.
//!
//! [`relay`] carries out what events ask of the payment gateway behind [`gateway`] and is the only
//! part of the shop that has it move money. [`reactions`] turn events into commands. [`schedule`]
//! does what is due. [`reconcile`] holds our books against the gateway's. All of them may die at any
//! point and run on several machines at once: what they do is found in the database, and doing it
//! twice changes nothing. [`operator`] is the way
//! in for people.

mod announce;
pub mod breaker;
pub mod config;
mod dry_check;
pub mod failpoints;
pub mod gateway;
pub mod metrics;
pub mod reactions;
pub mod reconcile;
pub mod relay;
mod run;
pub mod schedule;
mod steady;

pub use ::operator;
pub use config::{GatewayPolicy, VARIABLES, WorkerConfig};
pub use dry_check::{CheckVerdict, CheckedStep, check_kakaopay};
pub use relay::WakeUp;
pub use run::{QUEUE_PLANS, WorkerError, gateway, reconciler, run, run_on};

//! The write door of the log: append, load and the command executor.
//!
//! [`Executor`] carries a command: it loads (or remembers) the aggregate, lets it decide, and
//! appends what it decided in one transaction with its outbox rows, unique names and idempotency
//! receipt. A command that was accepted finishes although its caller goes away, is carried out once
//! however often it is sent under one key, and is never guessed about when a connection breaks.
//!
//! [`PgEventStore`] keeps the log in PostgreSQL and is also a `cqrs_es::EventStore`;
//! [`MemoryStore`] is its twin for tests, held to the same contract by `tests/contract`.
//! This crate alone knows postgres-es and sqlx, and alone writes the log.

mod append;
mod encode;
mod error;
mod executor;
mod framework;
mod memory;
pub mod metrics;
mod postgres;
mod store;

pub use append::{
    Append, EventIdentity, NewEvent, OutboxRow, Outcome, Receipt, StoredReceipt, outbox_id,
};
pub use error::{AppendError, DispatchError, StoreError};
pub use executor::{
    CommandContext, Executor, ExecutorOptions, Loaded, ReceiptKey, Recorded, Respond,
};
pub use framework::Context;
pub use memory::MemoryStore;
pub use postgres::{PgEventStore, StoreSizes};
pub use store::{BoxFuture, History, Store};

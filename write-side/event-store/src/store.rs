//! What the executor asks of a store. Two keep the promise: PostgreSQL and memory.

use std::future::Future;
use std::pin::Pin;

use domain::EventSourced;
use uuid::Uuid;

use crate::append::{Append, EventIdentity, Outcome, StoredReceipt};
use crate::error::{AppendError, StoreError};

/// A future on the heap, so that [`Store`] can be used as a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Events of one stream, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct History<B> {
    /// The events.
    pub events: Vec<B>,
    /// The last of them; for what follows on a remembered state, that state's last one when there is
    /// none. `None` for a stream that has never been written to.
    pub last: Option<EventIdentity>,
}

/// The log, seen from one kind of aggregate.
pub trait Store<A: EventSourced>: Send + Sync + 'static {
    /// Every event of stream `id`, oldest first; none when it has never been written to.
    ///
    /// # Errors
    /// The store is away, or holds an event this build cannot read.
    fn history(&self, id: Uuid) -> BoxFuture<'_, Result<History<A::Body>, StoreError>>;

    /// The events of stream `id` after its `version`-th, which is `last`. `None` when the log holds
    /// another event there or none: then what is remembered never was, or is no longer.
    ///
    /// # Errors
    /// As [`history`](Self::history).
    fn history_after(
        &self,
        id: Uuid,
        version: u64,
        last: Option<EventIdentity>,
    ) -> BoxFuture<'_, Result<Option<History<A::Body>>, StoreError>>;

    /// Writes all of `append` or nothing.
    ///
    /// # Errors
    /// [`AppendError`]; then nothing was written, except where it says that this is unknown.
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Outcome, AppendError>>;

    /// The receipt of the command that was carried out under this key, if there was one.
    ///
    /// # Errors
    /// The store is away.
    fn receipt<'s>(
        &'s self,
        scope: &'s str,
        key: &'s str,
    ) -> BoxFuture<'s, Result<Option<StoredReceipt>, StoreError>>;
}

//! A command whose sender knows how far the aggregate has come is not tried on an older memory.
//!
//! Without the comparison with `known_version` in `executor.rs` (seen so) the second command is sent
//! to the store at the version that was remembered, and once more after the conflict.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use event_store::{
    Append, AppendError, BoxFuture, EventIdentity, Executor, History, MemoryStore, Outcome, Store,
    StoreError, StoredReceipt,
};
use support::{PATIENT, Tally, TallyCommand, TallyEvent, executor, plain};
use uuid::Uuid;

/// Counts what is asked of a store.
#[derive(Default)]
struct Counting {
    store: MemoryStore,
    histories: AtomicUsize,
    appends: AtomicUsize,
    /// Whether nothing is found beyond what is remembered, although there is more.
    is_tailless: AtomicBool,
}

impl Counting {
    fn counts(&self) -> (usize, usize) {
        (self.histories.load(Ordering::SeqCst), self.appends.load(Ordering::SeqCst))
    }
}

type Events = Result<History<TallyEvent>, StoreError>;

impl Store<Tally> for Counting {
    fn history(&self, id: Uuid) -> BoxFuture<'_, Events> {
        self.histories.fetch_add(1, Ordering::SeqCst);
        Store::<Tally>::history(&self.store, id)
    }

    fn history_after(
        &self,
        id: Uuid,
        version: u64,
        last: Option<EventIdentity>,
    ) -> BoxFuture<'_, Result<Option<History<TallyEvent>>, StoreError>> {
        if self.is_tailless.load(Ordering::SeqCst) {
            return Box::pin(async move { Ok(Some(History { events: vec![], last })) });
        }
        Store::<Tally>::history_after(&self.store, id, version, last)
    }

    fn append(&self, append: Append) -> BoxFuture<'_, Result<Outcome, AppendError>> {
        self.appends.fetch_add(1, Ordering::SeqCst);
        Store::<Tally>::append(&self.store, append)
    }

    fn receipt<'s>(
        &'s self,
        scope: &'s str,
        key: &'s str,
    ) -> BoxFuture<'s, Result<Option<StoredReceipt>, StoreError>> {
        Store::<Tally>::receipt(&self.store, scope, key)
    }
}

fn raise() -> TallyCommand {
    TallyCommand::Raise(vec![1])
}

/// A store, an executor that remembers the first of its tally's two events, and the tally.
async fn an_older_memory() -> (Arc<Counting>, Executor<Tally>, Uuid) {
    let (store, id) = (Arc::new(Counting::default()), Uuid::now_v7());
    let (here, there) = (executor(&store, PATIENT), executor(&store, PATIENT));
    here.dispatch(id, raise(), plain()).await.unwrap();
    there.dispatch(id, raise(), plain()).await.unwrap();
    assert_eq!(store.counts(), (2, 2));
    (store, here, id)
}

#[tokio::test]
async fn an_older_memory_is_not_tried() {
    let (store, here, id) = an_older_memory().await;

    let told = here.dispatch(id, raise(), plain().knowing(2)).await.unwrap();

    assert_eq!((told.version, told.state.sum), (3, 3));
    assert_eq!(store.counts(), (2, 3), "one append, and no history read from its beginning");
}

#[tokio::test]
async fn an_older_memory_that_nobody_knows_of_costs_one_try() {
    let (store, here, id) = an_older_memory().await;

    let raised = here.dispatch(id, raise(), plain()).await.unwrap();

    assert_eq!((raised.version, raised.state.sum), (3, 3));
    assert_eq!(store.counts(), (2, 4), "one try on the memory, one on what was caught up");
}

/// Without the load from the beginning after a conflict (seen so) all retries meet the same version.
#[tokio::test]
async fn after_a_conflict_nothing_remembered_counts() {
    let (store, here, id) = an_older_memory().await;
    store.is_tailless.store(true, Ordering::SeqCst);

    let raised = here.dispatch(id, raise(), plain()).await.unwrap();

    assert_eq!((raised.version, raised.state.sum), (3, 3));
    assert_eq!(store.counts(), (3, 5), "two tries in vain, and the history once more");
}

/// Without the memory in `load` each look reads the history from its beginning: a refused order from a
/// cart of 100,000 edits took half a second.
#[tokio::test]
async fn a_look_at_what_is_remembered_reads_the_rest_alone() {
    let (store, here, id) = an_older_memory().await;

    let loaded = here.load(id).await.unwrap();
    let again = here.load(id).await.unwrap();

    assert_eq!((loaded.version, loaded.state.sum), (2, 2));
    assert_eq!((again.version, again.last), (2, loaded.last));
    assert_eq!(store.counts(), (2, 2), "no history read from its beginning");
}

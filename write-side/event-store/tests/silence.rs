//! A database that says nothing more keeps nobody waiting for ever, and is used again once it speaks.
//!
//! The network carries not one byte in the middle of everything: no end of the connection is seen, so
//! neither the server's statement timeout nor the kernel helps. What does is the bound around the read
//! in `PgEventStore::load`, and the one around all questions about a lost append in `Single::resolve`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use event_store::{DispatchError, PgEventStore, StoreError, StoreSizes};
use service_kit::config::Secret;
use support::{PATIENT, TallyCommand, executor, plain};
use testkit::{ChaosProxy, TestDatabase, eventually};
use tokio::time::timeout;
use uuid::Uuid;

/// What a server lets requests finish in: reaching it means that something hangs.
const HANGS: Duration = service_kit::http::DRAIN_WAIT_MAX;

/// A store behind a proxy, whose connections are open already, and a stream in it.
async fn store() -> (TestDatabase, ChaosProxy, Arc<PgEventStore>, Uuid) {
    let database = TestDatabase::fresh().await;
    let (proxy, url) = ChaosProxy::before(&database.url).await;
    let store = PgEventStore::open(&Secret::new(url), StoreSizes::default()).unwrap();
    let id = Uuid::now_v7();
    executor(&store, PATIENT).dispatch(id, TallyCommand::Raise(vec![1]), plain()).await.unwrap();
    (database, proxy, store, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_without_an_answer_ends() {
    let (_database, mut proxy, store, id) = store().await;
    // A new executor remembers nothing, so it has to ask.
    executor(&store, PATIENT).load(id).await.unwrap();
    proxy.hang().await;

    let answer = timeout(HANGS, executor(&store, PATIENT).load(id)).await.unwrap();
    proxy.pass().await;

    assert!(matches!(answer, Err(StoreError::Unavailable(_))));
    eventually(HANGS, || async { executor(&store, PATIENT).load(id).await.ok() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_without_an_answer_ends_as_unknown() {
    let (_database, mut proxy, store, id) = store().await;
    let remembering = executor(&store, PATIENT);
    remembering.load(id).await.unwrap();
    proxy.hang().await;

    let raise = remembering.dispatch(id, TallyCommand::Raise(vec![2]), plain());
    let answer = timeout(HANGS, raise).await.unwrap();

    assert!(
        matches!(&answer, Err(DispatchError::Store(error)) if error.is_transient()),
        "{:?}",
        answer.err()
    );
}

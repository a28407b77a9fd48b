//! What every store promises, asked of both: memory and PostgreSQL.
//!
//! A test that only one of them passes is a test against a twin that lies.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;

use event_store::{Append, Executor, MemoryStore, NewEvent, PgEventStore, Store, StoreSizes};
use service_kit::config::Secret;
use support::{PATIENT, Tally, executor, metadata};
use testkit::TestDatabase;
use uuid::Uuid;

/// A store, and a look at what it holds beside the events.
trait World: Send + Sync {
    type S: Store<Tally>;
    fn store(&self) -> &Arc<Self::S>;
    fn holder(&self, name: &str) -> impl Future<Output = Option<Uuid>> + Send;
    fn outbox(&self) -> impl Future<Output = Vec<Uuid>> + Send;

    fn executor(&self) -> Executor<Tally> {
        executor(self.store(), PATIENT)
    }
}

struct InMemory(Arc<MemoryStore>);

impl World for InMemory {
    type S = MemoryStore;

    fn store(&self) -> &Arc<MemoryStore> {
        &self.0
    }

    async fn holder(&self, name: &str) -> Option<Uuid> {
        self.0.lookup_claim("tally.name", name).await.unwrap()
    }

    async fn outbox(&self) -> Vec<Uuid> {
        self.0.outbox().iter().map(|row| row.id).collect()
    }
}

struct InPostgres {
    store: Arc<PgEventStore>,
    database: TestDatabase,
}

impl World for InPostgres {
    type S = PgEventStore;

    fn store(&self) -> &Arc<PgEventStore> {
        &self.store
    }

    async fn holder(&self, name: &str) -> Option<Uuid> {
        self.store.lookup_claim("tally.name", name).await.unwrap()
    }

    async fn outbox(&self) -> Vec<Uuid> {
        let select = "select id from outbox order by sequence, effect_index";
        let rows = self.database.client().await.query(select, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

async fn postgres(sizes: StoreSizes) -> InPostgres {
    let database = TestDatabase::fresh().await;
    let store = PgEventStore::open(&Secret::new(database.url.clone()), sizes).unwrap();
    InPostgres { store, database }
}

fn raising(id: Uuid, expected_version: u64) -> Append {
    let event =
        NewEvent { event_type: "TallyRaised", event_version: 1, payload: r#"{"by":1}"#.to_owned() };
    Append {
        command_id: Uuid::now_v7(),
        aggregate_type: "tally",
        aggregate_id: id,
        expected_version,
        predecessor: None,
        events: vec![event],
        metadata: serde_json::to_string(&metadata()).unwrap(),
        correlation_id: "request-1".to_owned(),
        outbox: vec![],
        claims: vec![],
        receipt: None,
    }
}

macro_rules! contract {
    ($($promise:ident,)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise(crate::InMemory(std::sync::Arc::default())).await;
            })*
        }
        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise(crate::postgres(crate::StoreSizes::default()).await).await;
            })*
        }
        mod postgresql_one_by_one {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let sizes = crate::StoreSizes { lanes: 0, ..crate::StoreSizes::default() };
                super::$promise(crate::postgres(sizes).await).await;
            })*
        }
    };
}

mod remembering;
mod storing;

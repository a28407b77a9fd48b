//! A shop's log and a projector on it, each test with its own.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use contracts::EventBody;
use projections::cli::Cli;
use projections::{ProjectorConfig, VersionStatus};
use serde_json::{Value, json};
use service_kit::shutdown::{Shutdown, ShutdownTrigger, pair};
use testkit::{Login, TestDatabase, eventually};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Generous: a passing test never waits this long.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Every table of the read models, without its version, with the columns that folds write.
pub(crate) const TABLES: [(&str, &[&str]); 6] = [
    (
        "item_by_category",
        &["item_by_category", "item_search", "item_by_category_item", "item_by_category_order"],
    ),
    ("item_detail", &["item_detail"]),
    ("category_totals", &["category_totals", "category_totals_item"]),
    ("cart_view", &["cart_view"]),
    ("order_history", &["order_history"]),
    ("payment_ledger", &["payment_ledger", "payment_ledger_order"]),
];

/// A database with a log that the test writes.
pub(crate) struct Shop {
    pub(crate) db: TestDatabase,
    pub(crate) config: ProjectorConfig,
    versions: HashMap<Uuid, i64>,
    last: i64,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let db = TestDatabase::fresh().await;
        let url = db.url_as(Login::Projector);
        let config = ProjectorConfig::load(|name| match name {
            "DATABASE_URL" => Some(url.clone()),
            "PROJECTOR_OPS_LISTEN" => Some("127.0.0.1:0".to_owned()),
            _ => None,
        })
        .unwrap();
        Self { db, config, versions: HashMap::new(), last: 0 }
    }

    /// Appends one event to its aggregate's history.
    pub(crate) async fn record<E: EventBody>(&mut self, id: Uuid, event: &E) -> i64 {
        let body = event.encode().unwrap();
        self.record_raw(E::AGGREGATE_TYPE, id, event.event_type(), body).await
    }

    /// Appends anything, readable or not.
    pub(crate) async fn record_raw(
        &mut self,
        kind: &str,
        id: Uuid,
        event_type: &str,
        body: Value,
    ) -> i64 {
        self.record_as(kind, id, (event_type, "1"), body).await
    }

    /// As `record_raw`, with a version of the event's body.
    pub(crate) async fn record_as(
        &mut self,
        kind: &str,
        id: Uuid,
        (event_type, event_version): (&str, &str),
        body: Value,
    ) -> i64 {
        let version = self.versions.entry(id).or_default();
        let client = self.db.client().await;
        let row = client
            .query_one(
                "select positions from append_events($1, $2, $3, $4, array[$5::text], \
                 array[$8::text], array[$6::jsonb], $7)",
                &[
                    &Uuid::now_v7(),
                    &kind,
                    &id.to_string(),
                    &*version,
                    &event_type,
                    &body,
                    &json!({ "actor": { "system": "test" }, "correlation_id": "test" }),
                    &event_version,
                ],
            )
            .await
            .unwrap();
        *version += 1;
        let positions: Vec<i64> = row.get(0);
        self.last = positions[0];
        self.last
    }

    /// Starts a projector.
    pub(crate) fn project(&self) -> Projector {
        let (end, shutdown) = pair();
        let config = self.config.clone();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let task = runtime.spawn(async move { projections::run(config, shutdown).await.unwrap() });
        Projector { end, task: Some(task), runtime: Some(runtime) }
    }

    /// Waits until every served version shows everything that was recorded.
    pub(crate) async fn caught_up(&self) {
        for name in projections::names() {
            self.has_reached(name, self.last).await;
        }
    }

    /// Waits until the served version of `name` shows the log up to `position`.
    pub(crate) async fn has_reached(&self, name: &str, position: i64) {
        eventually(SOON, || async {
            let client = self.db.client().await;
            let sql = "select position from projection_position where name = $1";
            let reached: i64 = client.query_one(sql, &[&name]).await.unwrap().get(0);
            (position <= reached).then_some(())
        })
        .await;
    }

    /// Where `version` of `name` stands, as `projector status` shows it.
    pub(crate) async fn status(&self, name: &str, version: i32) -> VersionStatus {
        let all = projections::status(&self.config).await.unwrap();
        all.into_iter().find(|it| it.name == name && it.version == version).unwrap()
    }

    /// What the command line answers.
    pub(crate) async fn says(&self, arguments: &[&str]) -> (ExitCode, String) {
        let cli = Cli::parse_from([&["projector"], arguments].concat());
        let mut out = Vec::new();
        let code = cli.execute(self.config.clone(), Shutdown::never(), &mut out).await.unwrap();
        (code, String::from_utf8(out).unwrap())
    }

    /// Every row of a table as text, in order.
    pub(crate) async fn rows(&self, table: &str) -> Vec<String> {
        let sql = format!("select t::text from {table} as t order by t::text collate \"C\"");
        let client = self.db.client().await;
        client.query(&sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// The number in the first column of the first row.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.db.client().await.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.db.client().await.batch_execute(sql).await.unwrap();
    }
}

/// A projector at work, on a runtime of its own that can be ended under it.
pub(crate) struct Projector {
    end: ShutdownTrigger,
    task: Option<JoinHandle<()>>,
    runtime: Option<Runtime>,
}

impl Projector {
    /// Ends it the way an operator does.
    pub(crate) async fn stop(mut self) {
        self.end.trigger();
        self.task.take().unwrap().await.unwrap();
    }

    /// Ends it the way a crash does: every task stops at whatever await it is, unasked.
    pub(crate) async fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
        drop(self.task.take().unwrap().await);
    }
}

impl Drop for Projector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

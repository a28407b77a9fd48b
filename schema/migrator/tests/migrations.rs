//! Bringing a database up to date: once, by whoever comes first, and never past what is known.

use migrator::MigrateError;
use testkit::{Binary, TestDatabase, refuses_alike};
use tokio::task::JoinSet;

#[tokio::test]
async fn an_empty_database_gets_every_migration_once() {
    let database = TestDatabase::empty().await;
    let before = migrator::status(&database.url).await.unwrap();
    let first = migrator::up(&database.url).await.unwrap();
    let second = migrator::up(&database.url).await.unwrap();
    let after = migrator::status(&database.url).await.unwrap();

    assert!(before.applied.is_empty());
    assert_eq!(first.applied, before.pending);
    assert!(first.applied.iter().any(|name| name.contains("event_log")), "{first:?}");
    assert!(second.applied.is_empty());
    assert!(after.pending.is_empty());
    assert_eq!(after.applied, before.pending);
}

/// Without the advisory lock in `up` (checked by deleting it) the loser of the race fails on a table
/// that is there already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_together_migrate_once() {
    let database = TestDatabase::empty().await;
    let mut crowd = JoinSet::new();
    for _ in 0..6 {
        let url = database.url.clone();
        crowd.spawn(async move { migrator::up(&url).await });
    }
    let reports = crowd.join_all().await;

    let pending = reports.iter().filter(|report| !report.as_ref().unwrap().applied.is_empty());
    assert_eq!(pending.count(), 1);
}

#[tokio::test]
async fn a_migration_that_was_edited_after_the_fact_is_an_error() {
    let database = TestDatabase::empty().await;
    migrator::up(&database.url).await.unwrap();
    let edit = "update refinery_schema_history set checksum = '1' where version = 1";
    database.client().await.batch_execute(edit).await.unwrap();

    let outcome = migrator::up(&database.url).await;

    assert!(matches!(outcome, Err(MigrateError::Apply(_))), "{outcome:?}");
}

#[tokio::test]
async fn an_absent_database_is_an_error_that_does_not_repeat_the_url() {
    let url = format!("postgres://shop:hunter2@127.0.0.1:{}/shop", testkit::free_port());

    let error = migrator::up(&url).await.unwrap_err();

    assert!(matches!(error, MigrateError::Connect(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

const PROCESS: &str = env!("CARGO_BIN_EXE_migrator");

#[tokio::test]
async fn check_config_and_the_start_refuse_alike() {
    let usable = [("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing")];
    let faulty = [
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", "postgres://shop@db.example/shop?sslmode=disable"),
        ("DATABASE_PLAINTEXT", "maybe"),
    ];
    refuses_alike(PROCESS, &["status"], &usable, &faulty).await;
    refuses_alike(PROCESS, &["up"], &usable, &faulty).await;
}

/// It was an object of two lists, and every other list is `{"rows": […]}`.
#[tokio::test]
async fn the_status_is_a_list_as_every_other_command_prints_it() {
    let database = TestDatabase::empty().await;
    let status = async || {
        let set = [("DATABASE_URL", database.url.as_str())];
        let output = Binary::output(PROCESS, &["status", "--json"], &set).await;
        let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), shown["rows"][0]["state"].clone())
    };
    assert_eq!(status().await, (Some(1), "pending".into()));
    migrator::up(&database.url).await.unwrap();
    assert_eq!(status().await, (Some(0), "applied".into()));
}

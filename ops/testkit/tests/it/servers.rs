//! Private servers: they start on free ports, keep their data, give way, and leave nothing behind.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use testkit::{Durability, PrivatePostgres, PrivateRedis, ServiceError, eventually, free_port};
use tokio_postgres::{Client, NoTls};

fn dir() -> TempDir {
    tempfile::Builder::new().prefix("testkit-").tempdir().unwrap()
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn numbers(url: &str) -> Vec<i32> {
    let rows = connect(url).await.query("select n from kept order by n", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn is_running(data: &Path) -> bool {
    let Ok(file) = std::fs::read_to_string(data.join("postgres/postmaster.pid")) else {
        return false;
    };
    Path::new("/proc").join(file.lines().next().unwrap()).exists()
}

#[tokio::test]
async fn committed_data_outlives_stop_restart_and_crash() {
    let dir = dir();
    let port = free_port();
    let mut server = PrivatePostgres::start(dir.path(), port, Durability::Durable).await.unwrap();
    assert_eq!(server.port(), port);
    let url = server.database("shop").await.unwrap();
    assert_eq!(server.database("shop").await.unwrap(), url);
    let client = connect(&url).await;
    client.batch_execute("create table kept (n int); insert into kept values (1)").await.unwrap();

    server.restart().await.unwrap();
    connect(&url).await.batch_execute("insert into kept values (2)").await.unwrap();
    server.crash_and_restart().await.unwrap();
    assert_eq!(numbers(&url).await, [1, 2]);

    server.stop().await;
    assert!(!is_running(dir.path()));
    let server = PrivatePostgres::start(dir.path(), port, Durability::Durable).await.unwrap();
    assert_eq!(numbers(&url).await, [1, 2]);
    drop(server);
    assert!(!is_running(dir.path()));
}

#[tokio::test]
async fn a_durable_server_wants_a_password_and_keeps_its_settings() {
    let dir = dir();
    let server = PrivatePostgres::start(dir.path(), 0, Durability::Durable).await.unwrap();
    let client = connect(&server.url()).await;
    let shown = client
        .query_one(
            "select current_setting('fsync'), current_setting('synchronous_commit'), \
             current_setting('full_page_writes')",
            &[],
        )
        .await
        .unwrap();
    let settings: [&str; 3] = [shown.get(0), shown.get(1), shown.get(2)];
    assert_eq!(settings, ["on", "on", "on"]);

    let without = format!("postgres://pillivery@127.0.0.1:{}/postgres", server.port());
    assert!(tokio_postgres::connect(&without, NoTls).await.is_err());
}

#[tokio::test]
async fn a_directory_serves_one_process_at_a_time() {
    let dir = dir();
    let first = PrivatePostgres::start(dir.path(), 0, Durability::Fast).await.unwrap();
    let second = PrivatePostgres::start(dir.path(), 0, Durability::Fast).await;
    assert!(matches!(second, Err(ServiceError::InUse(_))), "{second:?}");
    assert!(connect(&first.url()).await.batch_execute("select 1").await.is_ok());
}

/// A server whose owner was killed before it could stop it. Without `end_orphan` in `postgres.rs`
/// the second start fails on the data directory's own lock (seen by removing the call).
#[tokio::test]
async fn a_server_that_was_left_behind_is_replaced() {
    let dir = dir();
    let server = PrivatePostgres::start(dir.path(), 0, Durability::Fast).await.unwrap();
    let client = connect(&server.url()).await;
    client.batch_execute("create table kept (n int); insert into kept values (7)").await.unwrap();
    // Stands for the death of the owner: the lock is released, the server lives on.
    server.leave_behind();
    assert!(is_running(dir.path()));

    let server = PrivatePostgres::start(dir.path(), 0, Durability::Fast).await.unwrap();
    assert_eq!(numbers(&server.url()).await, [7]);
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_shows_the_log() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = PrivatePostgres::start(dir().path(), port, Durability::Fast).await.unwrap_err();
    assert!(error.to_string().contains("could not"), "{error}");
}

#[tokio::test]
async fn redis_keeps_its_data_over_a_restart_and_stops_when_dropped() {
    let dir = dir();
    let mut server = PrivateRedis::start(dir.path(), 0).await.unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("SET").arg("k").arg("v").query_async::<()>(&mut connection).await.unwrap();

    server.restart().await.unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let kept: String = redis::cmd("GET").arg("k").query_async(&mut connection).await.unwrap();
    assert_eq!(kept, "v");

    drop(server);
    eventually(Duration::from_secs(10), || async {
        client.get_multiplexed_async_connection().await.is_err().then_some(())
    })
    .await;
}

//! Every wait for a database ends, whatever the network does, and all heals without a restart.

use std::time::Duration;

use service_kit::config::Secret;
use service_kit::pools::{self, PoolSettings};
use testkit::{ChaosProxy, TestDatabase, TestRedis, eventually};
use tokio::time::timeout;

/// Far beyond every bound in `pools.rs`: reaching it means that something hangs.
const HANGS: Duration = Duration::from_secs(30);

fn ping() -> redis::Cmd {
    redis::cmd("PING")
}

#[tokio::test]
async fn a_statement_that_runs_too_long_is_ended_by_the_server() {
    let database = TestDatabase::empty().await;
    let settings = PoolSettings {
        statement_timeout: Duration::from_millis(50),
        ..PoolSettings::named("slow")
    };
    let pool = pools::postgres(&Secret::new(database.url.clone()), &settings).unwrap();
    let client = pool.get().await.unwrap();
    let error = client.batch_execute("select pg_sleep(60)").await.unwrap_err();
    assert_eq!(error.code(), Some(&tokio_postgres::error::SqlState::QUERY_CANCELED));
    let name = client.query_one("select current_setting('application_name')", &[]).await.unwrap();
    assert_eq!(name.get::<_, &str>(0), "slow");
    let compiles = client.query_one("show jit", &[]).await.unwrap();
    assert_eq!(compiles.get::<_, &str>(0), "off");
}

#[tokio::test]
async fn a_transaction_whose_owner_stands_still_gives_up_its_locks() {
    let database = TestDatabase::empty().await;
    let (url, settings) = (Secret::new(database.url.clone()), PoolSettings::named("still"));
    let pool = pools::postgres(&url, &settings).unwrap();
    let client = pool.get().await.unwrap();
    let row = client.query_one("show idle_in_transaction_session_timeout", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "10s");

    let shorter = [("idle_in_transaction_session_timeout", "50")];
    let sleepers = pools::postgres_tuned(&url, &settings, &shorter).unwrap();
    let sleeper = sleepers.get().await.unwrap();
    client.batch_execute("create table wanted ()").await.unwrap();
    sleeper.batch_execute("begin; lock table wanted").await.unwrap();
    timeout(HANGS, client.batch_execute("begin; lock table wanted; commit"))
        .await
        .unwrap()
        .unwrap();
    assert!(sleeper.batch_execute("commit").await.is_err());
}

#[tokio::test]
async fn postgres_away_is_an_error_and_back_is_fine() {
    let database = TestDatabase::empty().await;
    let (mut proxy, url) = ChaosProxy::before(&database.url).await;
    let pool = pools::postgres(&Secret::new(url), &PoolSettings::named("chaos")).unwrap();
    pool.get().await.unwrap().batch_execute("select 1").await.unwrap();

    proxy.refuse().await;
    eventually(HANGS, || async { pool.get().await.is_err().then_some(()) }).await;
    proxy.hang().await;
    assert!(timeout(HANGS, pool.get()).await.expect("the pool hangs").is_err());

    proxy.pass().await;
    eventually(HANGS, || async { pool.get().await.ok()?.batch_execute("select 1").await.ok() })
        .await;
}

#[tokio::test]
async fn redis_away_is_an_error_and_back_is_fine() {
    let server = TestRedis::fresh().await;
    let (mut proxy, url) = ChaosProxy::before(&server.url).await;
    let handle = pools::redis(&Secret::new(url)).unwrap();
    assert_eq!(handle.query::<String>(&ping()).await.unwrap(), "PONG");

    for mode in ["hang", "cut", "refuse"] {
        match mode {
            "hang" => proxy.hang().await,
            "cut" => proxy.cut().await,
            _ => proxy.refuse().await,
        }
        let call = timeout(HANGS, handle.query::<String>(&ping())).await;
        assert!(call.unwrap_or_else(|_| panic!("{mode}: the call hangs")).is_err(), "{mode}");
        assert!(timeout(HANGS, handle.subscriptions()).await.is_ok(), "{mode}");

        proxy.pass().await;
        eventually(HANGS, || async { handle.query::<String>(&ping()).await.ok() }).await;
    }
}

#[tokio::test]
async fn a_script_and_a_pipeline_run_through_the_handle() {
    let server = TestRedis::fresh().await;
    let handle = pools::redis(&Secret::new(server.url)).unwrap();
    let (first, second): (i64, i64) =
        handle.pipeline(redis::pipe().incr("n", 2).incr("n", 3)).await.unwrap();
    assert_eq!((first, second), (2, 5));

    let script = redis::Script::new("return redis.call('incrby', KEYS[1], ARGV[1])");
    let sum: i64 =
        handle
            .run(|mut connection| async move {
                script.key("n").arg(10).invoke_async(&mut connection).await
            })
            .await
            .unwrap();
    assert_eq!(sum, 15);
}

//! A database per test: alone, equal at its start, gone at its end.

use std::time::Duration;

use testkit::{TestDatabase, TestRedis, eventually};

#[tokio::test]
async fn two_tests_do_not_see_each_other() {
    let (first, second) = tokio::join!(TestDatabase::fresh(), TestDatabase::fresh());
    let client = first.client().await;
    client.batch_execute("create table only_here (id int)").await.unwrap();
    let row = second.client().await.query_one("select to_regclass('only_here')::text", &[]).await;
    assert_eq!(row.unwrap().get::<_, Option<String>>(0), None);
}

#[tokio::test]
async fn a_database_is_gone_after_its_test_even_with_sessions_in_it() {
    let other = TestDatabase::empty().await;
    let database = TestDatabase::empty().await;
    let _session = database.client().await;
    let name = database.url.rsplit_once('/').unwrap().1.to_owned();
    drop(database);

    let client = other.client().await;
    let count = "select count(*) from pg_database where datname = $1";
    let left: i64 = client.query_one(count, &[&name]).await.unwrap().get(0);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn an_empty_database_has_no_table() {
    let database = TestDatabase::empty().await;
    let count = "select count(*) from information_schema.tables where table_schema = 'public'";
    let tables: i64 = database.client().await.query_one(count, &[]).await.unwrap().get(0);
    assert_eq!(tables, 0);
}

#[tokio::test]
async fn many_databases_at_once() {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..12_i32 {
        tasks.spawn(async move {
            let database = TestDatabase::fresh().await;
            let row = database.client().await.query_one("select $1::int", &[&number]).await;
            row.unwrap().get::<_, i32>(0)
        });
    }
    let mut answers = tasks.join_all().await;
    answers.sort_unstable();
    assert_eq!(answers, (0..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn each_test_has_an_empty_redis_of_its_own() {
    let (first, second) = (TestRedis::fresh().await, TestRedis::fresh().await);
    assert_ne!(first.url, second.url);
    let mut connection = connect(&first.url).await;
    redis::cmd("SET").arg("k").arg("v").query_async::<()>(&mut connection).await.unwrap();
    let mut connection = connect(&second.url).await;
    let found: Option<String> =
        redis::cmd("GET").arg("k").query_async(&mut connection).await.unwrap();
    assert_eq!(found, None);
}

async fn connect(url: &str) -> redis::aio::MultiplexedConnection {
    eventually(Duration::from_secs(10), || async {
        redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.ok()
    })
    .await
}

//! The proxy that breaks a connection at a call: before the server hears of it, or when the server
//! has done it.

use testkit::{CallProxy, Cut, TestDatabase};
use tokio_postgres::{Client, NoTls};

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn rows(db: &TestDatabase) -> i64 {
    db.client().await.query_one("select count(*) from note", &[]).await.unwrap().get(0)
}

/// A table, a proxy before it, and a client that has made one call: its connection.
async fn noted() -> (TestDatabase, CallProxy, Client) {
    let db = TestDatabase::empty().await;
    db.client().await.batch_execute("create table note (text text)").await.unwrap();
    let (proxy, through) = CallProxy::before(&db.url).await;
    let client = connect(&through).await.unwrap();
    assert_eq!(proxy.calls(), 1);
    (db, proxy, client)
}

#[tokio::test]
async fn calls_are_counted_whatever_they_are_made_of() {
    let (db, proxy, client) = noted().await;
    client.batch_execute("insert into note values ('simple')").await.unwrap();
    assert_eq!(proxy.calls(), 2);
    let statement = client.prepare("insert into note values ($1)").await.unwrap();
    assert_eq!(proxy.calls(), 3);
    client.execute(&statement, &[&"prepared"]).await.unwrap();
    assert_eq!(proxy.calls(), 4);
    assert_eq!(rows(&db).await, 2, "nothing was broken");
}

#[tokio::test]
async fn broken_before_a_call_nothing_happens() {
    let (db, proxy, client) = noted().await;
    proxy.cut_at(2, Cut::BeforeCall);
    client.batch_execute("insert into note values ('first')").await.unwrap();
    client.batch_execute("insert into note values ('second')").await.unwrap_err();
    assert!(client.batch_execute("select 1").await.is_err(), "the connection is gone");
    assert_eq!(rows(&db).await, 1);
}

#[tokio::test]
async fn broken_before_an_answer_it_has_happened() {
    let (db, proxy, client) = noted().await;
    let statement = client.prepare("insert into note values ($1)").await.unwrap();
    proxy.cut_at(2, Cut::BeforeAnswer);
    client.execute(&statement, &[&"first"]).await.unwrap();
    client.execute(&statement, &[&"second"]).await.unwrap_err();
    assert_eq!(rows(&db).await, 2, "committed before its answer was lost");
}

#[tokio::test]
async fn opening_a_connection_is_a_call() {
    let (db, proxy, _client) = noted().await;
    let (other, through) = CallProxy::before(&db.url).await;
    other.cut_at(1, Cut::BeforeCall);
    assert!(connect(&through).await.is_err());
    other.cut_at(1, Cut::BeforeAnswer);
    assert!(connect(&through).await.is_err());
    assert!(connect(&through).await.is_ok(), "only the chosen one breaks");
    assert_eq!(proxy.calls(), 1, "each proxy counts its own");
}

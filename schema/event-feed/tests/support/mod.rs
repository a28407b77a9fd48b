//! Writers under the test's control: `append_events` inside a transaction that stays open.
#![allow(dead_code, reason = "each test binary uses its own part")]

use contracts::Position;
use tokio_postgres::{Client, GenericClient, NoTls};
use uuid::Uuid;

/// What `oldest_bound.sql` computes, in one statement with the read: the mistake that the feed must
/// not make. `GATE` is where a schedule can hold the statement between its snapshot and its scan.
const ONE_STATEMENT: &str = "
    with gate as materialized (select GATE),
    newest as materialized (select last_value from event_position, gate),
    bound as materialized (
      select min(l.objid::bigint) as oldest
      from   pg_locks l, newest
      where  l.locktype = 'advisory' and l.objsubid = 2
        and  l.classid = event_append_class()::oid
        and  l.database = (select oid from pg_database where datname = current_database())
    )
    select e.position
    from   newest n, bound b, events e
    where  $1 < e.position and e.position <= least(n.last_value, b.oldest)
    order  by e.position";

/// A session of its own.
pub(crate) async fn session(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    // Ends with the client; a test that kills sessions expects it to break.
    tokio::spawn(connection);
    client
}

/// Appends `count` events to a stream that has `version` of them.
pub(crate) async fn append(
    client: &impl GenericClient,
    stream: &str,
    version: i64,
    count: i32,
) -> Result<Vec<Position>, tokio_postgres::Error> {
    append_as(client, "TallyRaised", stream, version, count).await
}

/// Appends `count` events named `event_type`.
pub(crate) async fn append_as(
    client: &impl GenericClient,
    event_type: &str,
    stream: &str,
    version: i64,
    count: i32,
) -> Result<Vec<Position>, tokio_postgres::Error> {
    let call = "select positions from append_events(gen_random_uuid(), 'tally', $1, $2, \
                array_fill($4::text, array[$3::int]), array_fill('1'::text, array[$3::int]), \
                array_fill('{\"by\": 1}'::jsonb, array[$3::int]), '{}'::jsonb)";
    let stream = stream_id(stream);
    let row = client.query_one(call, &[&stream, &version, &count, &event_type]).await?;
    Ok(row.get::<_, Vec<i64>>(0).into_iter().map(Position::new).collect())
}

/// The id of the stream that a test calls `name`.
pub(crate) fn stream_id(name: &str) -> String {
    Uuid::new_v5(&Uuid::nil(), name.as_bytes()).to_string()
}

/// The reader that many systems shipped: whatever is visible after the last position seen.
pub(crate) async fn read_plainly(client: &Client, after: i64) -> Vec<i64> {
    let select = "select position from events where $1 < position order by position";
    positions(client, select, after).await
}

/// The reader that takes its bound and its events from one statement.
pub(crate) async fn read_in_one_statement(client: &Client, after: i64) -> Vec<i64> {
    positions(client, &ONE_STATEMENT.replace("GATE", "1"), after).await
}

/// The same statement, held at an advisory lock between its snapshot and its scan of the locks.
pub(crate) async fn read_in_one_slow_statement(client: &Client, after: i64, gate: i64) -> Vec<i64> {
    let wait = format!("pg_advisory_lock_shared({gate})");
    positions(client, &ONE_STATEMENT.replace("GATE", &wait), after).await
}

async fn positions(client: &Client, select: &str, after: i64) -> Vec<i64> {
    client.query(select, &[&after]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

//! What the planner makes of a read on a database that was never analysed: right after an import a
//! reader has the most to read and the planner knows least.
//!
//! Seen to fail: without `limit 1` in `read_events_filtered.sql` the one row of `feed_position`
//! counts as 1,810, and the estimated cost passes that from which PostgreSQL compiles a statement
//! (150 ms for each read of 0.1 ms).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod support;

use support::{append, session};
use testkit::TestDatabase;
use tokio_postgres::Client;

/// Enough for the estimates to differ.
const EVENTS: i32 = 20_000;

/// The plan that is made once for any parameters: a reader's statements are soon planned like that.
async fn generic(client: &Client, statement: &str, parameters: usize) -> String {
    let prepare = format!("set plan_cache_mode = force_generic_plan; prepare it as {statement}");
    client.batch_execute(&prepare).await.unwrap();
    let values = vec!["null"; parameters].join(", ");
    let rows = client.query(&format!("explain execute it ({values})"), &[]).await.unwrap();
    client.batch_execute("deallocate it").await.unwrap();
    rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect()
}

/// The estimate for the whole: the second number of `(cost=1.00..2.00 rows=…`.
fn total_cost(plan: &str) -> f64 {
    let (_, rest) = plan.split_once("..").unwrap();
    rest.split_once(' ').unwrap().0.parse().unwrap()
}

#[tokio::test]
async fn a_read_is_never_worth_compiling_and_walks_the_positions_where_sorting_is_discouraged() {
    let database = TestDatabase::fresh().await;
    let client = session(&database.url).await;
    append(&client, "stream", 0, EVENTS).await.unwrap();
    let limit = "select setting::float8 from pg_settings where name = 'jit_above_cost'";
    let limit: f64 = client.query_one(limit, &[]).await.unwrap().get(0);

    let all = include_str!("../src/sql/read_events.sql");
    let filtered = include_str!("../src/sql/read_events_filtered.sql");
    for (statement, parameters) in [(all, 2), (filtered, 5)] {
        let plan = generic(&client, statement, parameters).await;
        assert!(total_cost(&plan) < limit, "{limit} is too much: {plan}");

        client.batch_execute("set enable_sort = off").await.unwrap();
        let plan = generic(&client, statement, parameters).await;
        assert!(plan.contains("Index Scan using events_by_position"), "{plan}");
        client.batch_execute("reset enable_sort").await.unwrap();
    }
}

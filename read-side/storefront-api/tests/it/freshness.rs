//! Read-your-writes: waiting for a projection, and saying so when it is late.

use contracts::Position;
use std::time::{Duration, Instant};
use testkit::eventually;

use crate::app::{TestApp, detail, somebody};

/// How long an answer waits for a position at most.
const WAIT_MAX: Duration = Duration::from_secs(2);

async fn checkpoint(app: &TestApp, projection: &str, position: i64) {
    app.execute(&format!(
        "update projection_shard set position = {position} where name = '{projection}'"
    ))
    .await;
}

#[tokio::test]
async fn an_answer_waits_for_the_position_it_was_asked_for() {
    let app = TestApp::start().await;
    app.execute(&include_str!("items.sql").replace("{count}", "5")).await;
    // The log has given out position 42.
    app.execute("select setval('event_position', 42)").await;
    checkpoint(&app, "category_totals", 42).await;
    let token = Position::new(42).token();
    let asked = async { app.get_with("/api/items", &[("min-event-position", &token)]).await };
    let caught_up = async {
        // Moves only once the request is known to wait.
        let waits = || async {
            let sql = "select 1 from pg_stat_activity where query like '%projection_position%' \
                       and application_name = 'storefront-api' and datname = current_database()";
            app.db.client().await.query_opt(sql, &[]).await.unwrap()
        };
        eventually(Duration::from_secs(30), waits).await;
        checkpoint(&app, "item_by_category", 42).await;
    };
    let (answer, ()) = tokio::join!(asked, caught_up);
    assert_eq!(answer.header("projection-lagging"), "");
    assert_eq!(answer.json()["pageInfo"]["totalElements"], 5);
}

#[tokio::test]
async fn a_late_projection_is_answered_from_anyway_and_told() {
    let app = TestApp::start().await;
    let token = Position::new(i64::MAX).token();
    let user = somebody();
    let bearer = app.bearer(user);
    let headers = [("authorization", bearer.as_str()), ("min-event-position", token.as_str())];
    let paths = ["/api/items", "/api/carts/one-off", "/api/orders"];
    let asked = paths.map(|path| app.get_with(path, &headers));
    let [items, cart, orders] = asked;
    let (items, cart, orders) = tokio::join!(items, cart, orders);
    for (path, answer) in paths.iter().zip([items, cart, orders]) {
        assert_eq!(answer.header("projection-lagging"), "true", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        answer.json();
    }
}

/// A client that asks for what was never recorded must not hold a place for two seconds.
#[tokio::test]
async fn a_position_beyond_the_log_is_answered_at_once_as_lagging() {
    let app = TestApp::start().await;
    app.get("/api/items").await.json();
    let token = Position::new(1 << 60).token();
    let started = Instant::now();
    let answer = app.get_with("/api/items", &[("min-event-position", &token)]).await;
    let took = started.elapsed();
    assert_eq!(answer.header("projection-lagging"), "true");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(took < WAIT_MAX, "{took:?}");
}

/// The cache may hold an older page; whoever asks for a newer one must not get that.
#[tokio::test]
async fn the_cache_does_not_answer_who_asks_for_a_position() {
    let app = TestApp::start().await;
    let item = "018f0000-0000-7000-8000-000000000001";
    app.execute(&detail(item, "{\"price\":900}")).await;
    let path = format!("/api/items/{item}");
    assert_eq!(app.get(&path).await.json()["price"], 900);

    app.execute("update item_detail_v1 set document = '{\"price\":700}'").await;
    checkpoint(&app, "item_detail", 2).await;
    let token = Position::new(2).token();
    let urgent = app.get_with(&path, &[("min-event-position", &token)]).await;
    assert_eq!(urgent.json()["price"], 700);
    // And from then on nobody is shown the old price.
    assert_eq!(app.get(&path).await.json()["price"], 700);
}

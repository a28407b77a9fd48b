//! While the database is away, pages that were shown before go on being shown.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use testkit::{ChaosProxy, eventually};

use crate::app::{Answer, TestApp, detail, somebody};

const ITEM: &str = "/api/items/018f0000-0000-7000-8000-000000000001";
const PAGES: [&str; 5] =
    ["/api/items", "/api/items/main", "/api/categories", "/api/items?keyword=12", ITEM];
/// Readers at once.
const READERS: usize = 20;
/// Longer than a page is kept for without asking the database.
const OUTAGE: Duration = Duration::from_secs(3);

async fn shop() -> (ChaosProxy, TestApp) {
    let (proxy, app) = TestApp::start_cached_behind_proxy().await;
    app.execute(&include_str!("items.sql").replace("{count}", "50")).await;
    app.execute(include_str!("search.sql")).await;
    app.execute(&detail("018f0000-0000-7000-8000-000000000001", "{\"price\":900}")).await;
    (proxy, app)
}

/// Reads all pages again and again until `OUTAGE` is over; every answer must be a success. The last ones.
async fn read_on(app: &TestApp) -> Vec<Answer> {
    let started = Instant::now();
    loop {
        // Asked before the round, so that the last one begins when the outage has lasted long enough.
        let is_last = OUTAGE <= started.elapsed();
        let answers = join_all(PAGES.map(|path| app.get(path))).await;
        for (path, answer) in PAGES.iter().zip(&answers) {
            assert!(answer.status.is_success(), "{path}: {}", answer.status);
        }
        if is_last {
            return answers;
        }
        // Nothing above waits while the pages are at hand; the connections need their turn.
        tokio::task::yield_now().await;
    }
}

/// Pages go on being shown, with their age, while connections are refused and while they are
/// silent; the price that changed meanwhile is shown afterwards, without a restart.
#[tokio::test]
async fn pages_shown_before_are_shown_while_the_database_is_away() {
    for trouble in ["refused", "silent"] {
        let (mut proxy, app) = shop().await;
        for path in PAGES {
            assert_eq!(app.get(path).await.header("age"), "", "{path}");
        }
        if trouble == "refused" {
            proxy.refuse().await;
        } else {
            proxy.hang().await;
        }
        let answers = join_all((0..READERS).map(|_| read_on(&app))).await;
        for (path, answer) in answers.iter().flat_map(|answers| PAGES.iter().zip(answers)) {
            let age = answer.header("age").parse::<u64>().unwrap_or_default();
            assert!((1..60).contains(&age), "{trouble} {path}: {:?}", answer.headers);
        }
        // What nobody has asked for before is not there to be shown.
        let problem = app.get("/api/items?page=2").await.problem(503);
        assert_eq!(problem["code"], "storefront.unavailable", "{trouble}");
        let bearer = app.bearer(somebody());
        app.get_with("/api/orders", &[("authorization", &bearer)]).await.problem(503);

        app.execute("update item_detail_v1 set document = '{\"price\":700}'").await;
        proxy.pass().await;
        eventually(Duration::from_mins(1), || async {
            let answer = app.get(ITEM).await;
            assert!(answer.status.is_success(), "{trouble}: {}", answer.status);
            (answer.json()["price"] == 700 && answer.header("age").is_empty()).then_some(())
        })
        .await;
    }
}

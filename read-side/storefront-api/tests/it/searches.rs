//! A search is dear: few run at once, none of them takes a connection from anybody else, and nobody
//! may send many.

use std::time::Duration;

use futures_util::future::join_all;
use service_kit::shutdown;
use storefront_api::{Listeners, run_on};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use crate::app::{TestApp, config, somebody};

/// More than there are connections for pages.
const SEARCHES: usize = 24;
/// Less than a search waits for the database, and far more than a list of orders takes.
const SOON: Duration = Duration::from_secs(1);

async fn shop() -> TestApp {
    let app = TestApp::start().await;
    app.execute(&include_str!("items.sql").replace("{count}", "50")).await;
    app.execute(include_str!("search.sql")).await;
    app
}

/// Searches that hang take no connection from lists, carts and orders, and those that find no place
/// are told when to come again.
#[tokio::test]
async fn searches_leave_everybody_else_their_connections() {
    let app = shop().await;
    let mut client = app.db.client().await;
    let hold = client.transaction().await.unwrap();
    hold.batch_execute("lock table item_search_v1 in access exclusive mode").await.unwrap();
    let searches = join_all((0..SEARCHES).map(|number| {
        let app = &app;
        async move { app.get(&format!("/api/items?keyword={number}")).await }
    }));
    let others = async {
        // The searches were polled first, so they have asked for their connections.
        let user = somebody();
        for path in ["/api/orders", "/api/carts/one-off"] {
            let answer = tokio::time::timeout(SOON, app.get_as(user, path)).await;
            assert!(answer.unwrap().status.is_success(), "{path}");
        }
        let answer = tokio::time::timeout(SOON, app.get("/api/items/main")).await;
        assert!(answer.unwrap().status.is_success());
    };
    let (refused, ()) = tokio::join!(searches, others);
    for answer in refused {
        answer.problem(503);
        assert_eq!(answer.header("retry-after"), "1");
    }
    hold.rollback().await.unwrap();
    app.get("/api/items?keyword=7").await.json();
}

/// The head of the answer to a GET from this loopback address.
async fn get_from(client: &str, server: std::net::SocketAddr, path: &str) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{client}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(server).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().0.to_lowercase()
}

/// One address that searches without end is told when it may again; other addresses search on, and
/// lists are not counted.
#[tokio::test]
async fn the_searches_of_one_address_are_limited() {
    let app = shop().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let ops = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listeners = Listeners { api: listener.into(), ops: ops.into() };
    let (end, shutdown) = shutdown::pair();
    let mut settings = config(&app.db.url);
    settings.searches_per_minute = 8;
    let running = tokio::spawn(run_on(settings, listeners, shutdown));

    let search = "/api/items?keyword=7";
    for _ in 0..2 {
        let allowed = get_from("127.0.0.2", server, search).await;
        assert!(allowed.starts_with("http/1.1 200"), "{allowed}");
    }
    let refused = get_from("127.0.0.2", server, search).await;
    assert!(refused.starts_with("http/1.1 429"), "{refused}");
    for header in ["retry-after: ", "ratelimit: \"search\";r=0", "ratelimit-policy: \"search\";q=2"]
    {
        assert!(refused.contains(header), "{refused}");
    }
    for (client, path) in [("127.0.0.3", search), ("127.0.0.2", "/api/items?category=EYE")] {
        let allowed = get_from(client, server, path).await;
        assert!(allowed.starts_with("http/1.1 200"), "{client} {path}: {allowed}");
    }
    end.trigger();
    running.await.unwrap().unwrap();
}

//! The manners of every API, seen from outside over a real socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use poem::{EndpointExt, Route, get, handler, post};
use serde_json::{Value, json};
use service_kit::clock::{Clock, ManualClock, SystemClock};
use service_kit::http::{BODY_BYTES_MAX, Health, ops_routes, serve, standard};
use service_kit::problem::Problem;
use service_kit::request_id;
use service_kit::shutdown::{self, ShutdownTrigger};
use service_kit::telemetry;
use testkit::{TestDatabase, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const WITHIN: Duration = Duration::from_secs(30);

#[handler]
fn own_id() -> String {
    request_id::current().map(|id| id.to_string()).unwrap_or_default()
}

#[handler]
fn panics() -> String {
    panic!("with a secret: hunter2")
}

#[handler]
fn fails() -> poem::Result<String> {
    Err(poem::error::InternalServerError(std::io::Error::other("hunter2")))
}

#[handler]
fn refuses() -> Result<String, Problem> {
    Err(Problem::conflict("order.paid", "the order is paid already"))
}

#[handler]
fn echo(body: Vec<u8>) -> Vec<u8> {
    body
}

/// Waits at a gate, so that a test can look at a request under way.
#[handler]
async fn waits(gate: poem::web::Data<&Arc<Gate>>) -> &'static str {
    gate.entered.notify_one();
    gate.opened.notified().await;
    "done"
}

#[derive(Default)]
struct Gate {
    entered: Notify,
    opened: Notify,
}

struct Server {
    address: SocketAddr,
    gate: Arc<Gate>,
    trigger: ShutdownTrigger,
    served: JoinHandle<bool>,
}

async fn start() -> Server {
    let gate = Arc::new(Gate::default());
    let (trigger, shutdown) = shutdown::pair();
    let health = Health::new()
        .requires("database", || async { true })
        .uses("redis", || async { false })
        .until(shutdown.clone());
    let app = ops_routes(health, telemetry::metrics(), "1.2.3")
        .at("/id", get(own_id))
        .at("/panics", get(panics))
        .at("/fails", get(fails))
        .at("/refuses", get(refuses))
        .at("/echo", post(echo))
        .at("/waits", get(waits))
        .data(Arc::clone(&gate));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = standard("kit-test", app);
    let served =
        tokio::spawn(async move { serve("kit-test", listener, app, shutdown).await.is_ok() });
    Server { address, gate, trigger, served }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.head);
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"));
        problem["code"].as_str().unwrap().to_owned()
    }
}

impl Server {
    async fn get(&self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\n").as_str(), b"").await
    }

    /// One request on a connection of its own; `head` is its line and headers.
    async fn send(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("{head}host: shop\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that refuses early may close before it has read all.
        stream.write_all(body).await.ok();
        read(stream).await
    }
}

async fn read(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    tokio::time::timeout(WITHIN, stream.read_to_end(&mut bytes)).await.unwrap().ok();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

#[tokio::test]
async fn a_harmless_request_id_is_kept_and_any_other_replaced() {
    let server = start().await;
    let kept = server.send("GET /id HTTP/1.1\r\nx-request-id: req-7\r\n", b"").await;
    assert_eq!((kept.header("x-request-id"), kept.body.as_str()), (Some("req-7"), "req-7"));

    for harmful in ["a b", "{}", "\u{c8fc}\u{bb38}", &"x".repeat(65)] {
        let head = format!("GET /id HTTP/1.1\r\nx-request-id: {harmful}\r\n");
        let replaced = server.send(&head, b"").await;
        let id = replaced.header("x-request-id").unwrap();
        assert!(uuid::Uuid::parse_str(id).is_ok(), "{id}");
        assert_eq!(replaced.body, id);
    }
}

#[tokio::test]
async fn whatever_goes_wrong_is_a_problem_with_its_request_id() {
    let server = start().await;
    for (path, status, code) in [
        ("/nowhere", 404, "route.not_found"),
        ("/echo", 405, "route.method_not_allowed"),
        ("/refuses", 409, "order.paid"),
        ("/fails", 500, "internal"),
        ("/panics", 500, "internal"),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path}");
        assert!(!answer.body.contains("hunter2"), "{}", answer.body);
    }
    // A panic has not taken the process along.
    assert_eq!(server.get("/id").await.status, 200);
}

#[tokio::test]
async fn a_body_is_bounded_however_it_is_sent() {
    let server = start().await;
    let fits = vec![b'x'; BODY_BYTES_MAX];
    let head = format!("POST /echo HTTP/1.1\r\ncontent-length: {BODY_BYTES_MAX}\r\n");
    assert_eq!(server.send(&head, &fits).await.body.len(), BODY_BYTES_MAX);

    let large = BODY_BYTES_MAX + 1;
    let head = format!("POST /echo HTTP/1.1\r\ncontent-length: {large}\r\n");
    let refused = server.send(&head, &vec![b'x'; large]).await;
    assert_eq!((refused.status, refused.code().as_str()), (413, "request.too_large"));

    let chunk = format!("{large:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(large));
    let head = "POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n";
    let refused = server.send(head, chunk.as_bytes()).await;
    assert_eq!((refused.status, refused.code().as_str()), (413, "request.too_large"));
}

/// Without the places of `bodies.rs` an address with 64 connections of 100 streams could hold 1.6 GB;
/// 8 such connections were seen to take 250 MB.
#[tokio::test]
async fn an_address_has_few_bodies_in_memory_at_once() {
    let server = start().await;
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let half = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf";
        stream.write_all(half).await.unwrap();
        held.push(stream);
    }
    let head = "POST /echo HTTP/1.1\r\ncontent-length: 4\r\n";
    eventually(WITHIN, || async { (server.send(head, b"more").await.status == 429).then_some(()) })
        .await;
    let refused = server.send(head, b"more").await;
    assert_eq!(refused.code(), "request.bodies");
    // What has no body needs no place.
    assert_eq!(server.get("/id").await.status, 200);
    drop(held);
    eventually(WITHIN, || async { (server.send(head, b"more").await.status == 200).then_some(()) })
        .await;
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let server = start().await;
    for path in ["/id", "/nowhere", "/panics", "/metrics"] {
        let answer = server.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert!(answer.header("content-security-policy").is_some(), "{path}");
    }
}

#[tokio::test]
async fn operators_see_liveness_readiness_numbers_and_version() {
    let server = start().await;
    assert_eq!(server.get("/health/live").await.body, r#"{"status":"alive"}"#);
    let version: Value = serde_json::from_str(&server.get("/version").await.body).unwrap();
    assert_eq!(version, json!({ "version": "1.2.3", "commit": service_kit::build::COMMIT }));

    let ready = server.get("/health/ready").await;
    let body: Value = serde_json::from_str(&ready.body).unwrap();
    assert_eq!((ready.status, &body["status"]), (200, &"ready".into()));
    assert_eq!(body["dependencies"]["database"]["status"], "up");
    // An optional dependency is named and changes nothing.
    assert_eq!(body["dependencies"]["redis"]["status"], "down");

    server.get("/nowhere").await;
    let numbers = server.get("/metrics").await.body;
    for line in [
        r#"http_requests_total{service="kit-test",operation="healthLive",status="200"}"#,
        r#"http_requests_total{service="kit-test",operation="none",status="404"}"#,
        r#"http_request_seconds_bucket{service="kit-test",operation="healthLive",status="200""#,
    ] {
        assert!(numbers.contains(line), "{line} in {numbers}");
    }
    assert!(!numbers.contains("nowhere"), "a path must not become a label: {numbers}");
}

#[tokio::test]
async fn a_required_dependency_that_is_down_makes_it_unready() {
    let health = Health::new()
        .requires("database", || async { false })
        .requires("stuck", std::future::pending);
    let routes = ops_routes(health, telemetry::metrics(), "0");
    let app = poem::test::TestClient::new(standard("kit-test", routes));
    let answer = app.get("/health/ready").send().await;
    answer.assert_status(poem::http::StatusCode::SERVICE_UNAVAILABLE);
    let body: Value =
        serde_json::from_str(&answer.0.into_body().into_string().await.unwrap()).unwrap();
    assert_eq!(body["status"], "unready");
    assert_eq!(body["dependencies"]["database"]["status"], "down");
    assert_eq!(body["dependencies"]["stuck"]["status"], "down");
}

#[tokio::test]
async fn a_clock_that_differs_from_the_databases_makes_it_unready() {
    let database = TestDatabase::empty().await;
    for (ahead, status) in [(-30, "up"), (30, "up"), (-3_600, "down"), (3_600, "down")] {
        let clock = ManualClock::at(SystemClock.now() + TimeDelta::seconds(ahead)).shared();
        let health = Health::new().requires_right_clock(clock, database.pool.clone());
        let routes = ops_routes(health, telemetry::metrics(), "0");
        let app = poem::test::TestClient::new(standard("kit-test", routes));
        let answer = app.get("/health/ready").send().await;
        let body = answer.0.into_body().into_string().await.unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["dependencies"]["clock"]["status"], status, "{ahead} s");
    }
}

#[tokio::test]
async fn a_request_under_way_is_finished_before_the_server_ends() {
    let server = start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /waits HTTP/1.1\r\nhost: shop\r\n\r\n").await.unwrap();
    server.gate.entered.notified().await;

    server.trigger.trigger();
    eventually(WITHIN, || async {
        TcpStream::connect(server.address).await.is_err().then_some(())
    })
    .await;
    assert!(!server.served.is_finished());

    server.gate.opened.notify_one();
    let answer = read(stream).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "done"));
    assert!(server.served.await.unwrap());
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let server = start().await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /id HTTP/1.1\r\nhost: shop\r\n\r\n").await.unwrap();
    idle.read_u8().await.unwrap();
    server.trigger.trigger();
    assert!(tokio::time::timeout(WITHIN, server.served).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_listener_of_the_standard_library_serves_too() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, shutdown) = shutdown::pair();
    let app = standard("kit-test", Route::new().at("/id", get(own_id)));
    let served = tokio::spawn(serve("kit-test", listener, app, shutdown));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /id HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n").await.unwrap();
    assert_eq!(read(stream).await.status, 200);
    trigger.trigger();
    served.await.unwrap().unwrap();
}

//! What a listener does with clients that are slow, silent or too many, over real sockets.
//!
//! Without the deadline of a connection (`connection.rs`) and the place before `accept`
//! (`serve.rs`) each of these clients holds a descriptor for as long as it likes: half a request
//! head was still open after 76 s, and at the descriptor limit `accept` failed in a loop that kept a
//! core busy.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use poem::web::{LocalAddr, RemoteAddr};
use poem::{Request, Route, get, handler};
use service_kit::http::{Limits, serve_with};
use service_kit::shutdown::{self, ShutdownTrigger};
use service_kit::telemetry;
use testkit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// Longest wait for something that happens by itself.
const WITHIN: Duration = Duration::from_secs(30);
/// A deadline that is reached within a test.
const SOON: Duration = Duration::from_millis(200);
/// A deadline that is not.
const NEVER: Duration = Duration::from_hours(1);

const GET: &[u8] = b"GET /hello HTTP/1.1\r\nhost: shop\r\n\r\n";
const HALF_HEAD: &[u8] = b"GET /hello HTTP/1.1\r\nX: ";
const HTTP2_PREFACE: &[u8] =
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

#[handler]
fn hello() -> &'static str {
    "hello"
}

#[handler]
fn peers(request: &Request) -> String {
    let (RemoteAddr(remote), LocalAddr(local)) = (request.remote_addr(), request.local_addr());
    let ip = |address: &poem::Addr| address.as_socket_addr().map(SocketAddr::ip);
    format!("{:?} {:?}", ip(remote), ip(local))
}

/// More than the kernel keeps for a client that reads nothing.
#[handler]
fn large() -> Vec<u8> {
    vec![b'x'; 32 * 1024 * 1024]
}

struct Server {
    name: &'static str,
    address: SocketAddr,
    trigger: ShutdownTrigger,
    served: JoinHandle<bool>,
}

fn limits() -> Limits {
    Limits { head_wait: NEVER, idle_wait: NEVER, ..Limits::reserved() }
}

async fn start(name: &'static str, limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    start_on(name, limits, listener.into_std().unwrap())
}

fn start_on(name: &'static str, limits: Limits, listener: std::net::TcpListener) -> Server {
    // What is counted before the metrics are there is lost.
    telemetry::metrics();
    let address = listener.local_addr().unwrap();
    let (trigger, shutdown) = shutdown::pair();
    let app =
        Route::new().at("/hello", get(hello)).at("/peers", get(peers)).at("/large", get(large));
    let served = async move { serve_with(limits, name, listener, app, shutdown).await.is_ok() };
    Server { name, address, trigger, served: tokio::spawn(served) }
}

impl Server {
    async fn connect(&self, from: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    async fn connect_and_send(&self, from: &str, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect(from).await;
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// The value of one of the listener's metrics.
    fn metric(&self, metric: &str) -> u64 {
        let text = telemetry::metrics().render();
        let start = format!(r#"{metric}{{service="{}"}} "#, self.name);
        let value = text.lines().find_map(|line| line.strip_prefix(start.as_str()));
        // Gauges have a fraction.
        value.map_or(0, |value| value.split('.').next().unwrap().parse().unwrap())
    }
}

/// Reads one answer with `hello` in it.
async fn answered(stream: &mut TcpStream) {
    let mut read = Vec::new();
    while !read.ends_with(b"hello") {
        let next = tokio::time::timeout(WITHIN, stream.read_u8()).await.expect("no answer");
        read.push(next.expect("closed before it was answered"));
    }
    assert!(read.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&read));
}

/// Waits until the server closed the connection.
async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(WITHIN, stream.read_to_end(&mut rest)).await;
    // Reset or ended in order: both are an end.
    let _end = read.expect("the connection stays open");
}

#[tokio::test]
async fn a_connection_without_a_whole_head_is_closed() {
    let server = start("edge-head", Limits { head_wait: SOON, ..limits() }).await;
    for sent in [b"".as_slice(), b"G", b"PRI * HT", HALF_HEAD, HTTP2_PREFACE] {
        closed(server.connect_and_send("127.0.0.1", sent).await).await;
    }
    eventually(WITHIN, || async {
        (server.metric("http_connections_timed_out_total") == 5).then_some(())
    })
    .await;
    assert_eq!(server.metric("http_connections"), 0);
}

/// The head's time begins with its first byte: what a connection waited between two requests does
/// not count.
#[tokio::test]
async fn a_later_head_has_its_own_time() {
    let server = start("edge-later-head", Limits { head_wait: SOON, ..limits() }).await;
    let mut kept = server.connect_and_send("127.0.0.1", GET).await;
    answered(&mut kept).await;
    // The time of a head passes while the connection rests.
    closed(server.connect("127.0.0.1").await).await;
    kept.write_all(GET).await.unwrap();
    answered(&mut kept).await;
    kept.write_all(HALF_HEAD).await.unwrap();
    closed(kept).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = start("edge-idle", Limits { idle_wait: SOON, ..limits() }).await;
    let mut idle = server.connect_and_send("127.0.0.1", GET).await;
    answered(&mut idle).await;
    closed(idle).await;
}

#[tokio::test]
async fn a_client_that_takes_no_answer_gives_its_place_up() {
    let limits = Limits { places: 1, idle_wait: SOON, ..limits() };
    let server = start("edge-untaken", limits).await;
    let request = b"GET /large HTTP/1.1\r\nhost: shop\r\n\r\n";
    let _never_reads = server.connect_and_send("127.0.0.1", request).await;
    let mut next = server.connect_and_send("127.0.0.1", GET).await;
    answered(&mut next).await;
}

#[tokio::test]
async fn an_http2_connection_is_offered_a_hundred_streams() {
    let server = start("edge-http2", limits()).await;
    let mut stream = server.connect_and_send("127.0.0.1", HTTP2_PREFACE).await;
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "the first frame is SETTINGS: {head:?}");
    let mut settings = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
    stream.read_exact(&mut settings).await.unwrap();
    // Parameter 3 is SETTINGS_MAX_CONCURRENT_STREAMS.
    let streams = settings.chunks(6).find(|entry| entry[..2] == [0, 3]);
    assert_eq!(streams.map(|entry| &entry[2..]), Some([0, 0, 0, 100].as_slice()), "{settings:?}");
}

#[tokio::test]
async fn an_address_holds_so_many_connections_and_the_others_go_on() {
    let limits = Limits { per_address: Some(2), ..limits() };
    let server = start("edge-address", limits).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect_and_send("127.0.0.2", GET).await;
        answered(&mut stream).await;
        held.push(stream);
    }
    for _ in 0..3 {
        closed(server.connect("127.0.0.2").await).await;
    }
    assert_eq!(server.metric("http_connections_refused_total"), 3);
    let mut other = server.connect_and_send("127.0.0.1", GET).await;
    answered(&mut other).await;

    drop(held);
    eventually(WITHIN, || async {
        let mut stream = server.connect("127.0.0.2").await;
        stream.write_all(GET).await.ok()?;
        stream.read_u8().await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_trusted_proxy_holds_as_many_connections_as_there_are_places() {
    let trusted_proxies = "127.0.0.2".parse().unwrap();
    let limits = Limits { per_address: Some(2), trusted_proxies, ..limits() };
    let server = start("edge-proxy", limits).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut stream = server.connect_and_send("127.0.0.2", GET).await;
        answered(&mut stream).await;
        held.push(stream);
    }
}

/// Without the place before `accept` the third connection would be accepted, and so would each
/// further one until the process has no descriptor left.
#[tokio::test]
async fn a_full_listener_accepts_no_more_until_a_place_is_free() {
    let server = start("edge-full", Limits { places: 2, ..limits() }).await;
    let [first, _second] = [server.connect("127.0.0.2").await, server.connect("127.0.0.3").await];
    let mut waiting = server.connect_and_send("127.0.0.1", GET).await;
    eventually(WITHIN, || async { (server.metric("http_connections") == 2).then_some(()) }).await;
    let early = waiting.try_read(&mut [0; 1]);
    assert_eq!(early.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(server.metric("http_connections"), 2);
    drop(first);
    answered(&mut waiting).await;
}

/// A socket that was shut down under the server fails every `accept` at once, as a process without
/// descriptors does. Without the pause the count is in the thousands at first sight.
#[tokio::test]
async fn accept_failures_are_counted_and_paused() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let same = listener.try_clone().unwrap();
    let server = start_on("edge-accept", limits(), listener);
    let mut stream = server.connect_and_send("127.0.0.1", GET).await;
    answered(&mut stream).await;
    let started = Instant::now();
    rustix::net::shutdown(&same, rustix::net::Shutdown::Both).unwrap();
    let failures = eventually(WITHIN, || async {
        Some(server.metric("http_accept_failures_total")).filter(|failures| 3 <= *failures)
    })
    .await;
    let most = started.elapsed().as_millis() / 50 + 1;
    assert!(u128::from(failures) <= most, "{failures} failures, at most {most} with pauses");
    server.trigger.trigger();
    assert!(tokio::time::timeout(WITHIN, server.served).await.unwrap().unwrap());
}

#[tokio::test]
async fn unfinished_heads_and_silent_connections_do_not_hold_up_the_end() {
    let server = start("edge-end", Limits { head_wait: SOON, ..limits() }).await;
    let mut kept = server.connect_and_send("127.0.0.1", GET).await;
    answered(&mut kept).await;
    let _silent = server.connect("127.0.0.1").await;
    let _half = server.connect_and_send("127.0.0.1", HALF_HEAD).await;
    server.trigger.trigger();
    assert!(tokio::time::timeout(WITHIN, server.served).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_request_knows_both_ends_of_its_connection() {
    let server = start("edge-peers", limits()).await;
    let request = b"GET /peers HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n";
    let mut stream = server.connect_and_send("127.0.0.9", request).await;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let expected = format!("{:?} {:?}", Some(ip("127.0.0.9")), Some(ip("127.0.0.1")));
    assert!(text.ends_with(&expected), "{text}");
}

//! The real process with 512 descriptors, and clients that only want to hold them.
//!
//! Without the bounds of its listeners a few hundred silent connections stop all three of them for
//! as long as the clients like, with one core in a loop over a failing `accept`: seen on the build
//! before, where no listener answered any more and half a head was open after 76 s.

use std::net::{IpAddr, SocketAddr};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{Login, TestDatabase, eventually, free_port, keys};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Longest the process may take to start on a busy machine.
const START_WAIT_MAX: Duration = Duration::from_mins(1);
/// Longest an answer may take while the process is flooded.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
/// A place is free again after the time of a head, 10 s, and a moment.
const PLACE_WAIT_MAX: Duration = Duration::from_secs(11);
/// Places of the public listener with 512 descriptors: less 3 pools of 8, 4 for Redis, 2 reserves of
/// 64, and 64.
const PLACES: usize = 292;
const HALF_HEAD: &[u8] = b"GET /openapi.json HTTP/1.1\r\nX: ";

struct Process {
    child: Child,
    api: SocketAddr,
    admin: SocketAddr,
    ops: SocketAddr,
    _database: TestDatabase,
}

impl Process {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let database = TestDatabase::fresh().await;
        let address = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (api, admin, ops) = (address(), address(), address());
        let child = Command::new("sh")
            .args(["-c", "ulimit -n 512 && exec \"$0\"", env!("CARGO_BIN_EXE_checkout-api")])
            .env("DATABASE_URL", database.url_as(Login::Writer))
            .env("ACCESS_TOKEN_SIGNING_KEY", keys::ACCESS_TOKEN_SIGNING_KEY)
            .env("ACCESS_TOKEN_VERIFYING_KEYS", keys::access_token_verifying_keys())
            .env("DIGEST_PEPPER", keys::DIGEST_PEPPER)
            .env("RETURN_URL_KEY", keys::RETURN_URL_KEY)
            .env("MASTER_KEY", keys::MASTER_KEY)
            .env("PUBLIC_BASE_URL", "https://shop.example")
            .env("FEED_WATCHER", "own")
            .env("CHECKOUT_LISTEN", api.to_string())
            .env("CHECKOUT_ADMIN_LISTEN", admin.to_string())
            .env("CHECKOUT_OPS_LISTEN", ops.to_string())
            .envs(settings.iter().copied())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let process = Self { child, api, admin, ops, _database: database };
        eventually(START_WAIT_MAX, || async {
            (get(process.ops, "/health/ready").await? == 200).then_some(())
        })
        .await;
        process
    }

    /// Every listener serves a new connection of a client that floods nothing.
    async fn serves_others(&self) {
        for (listener, path) in [
            (self.api, "/openapi.json"),
            (self.admin, "/openapi.json"),
            (self.ops, "/health/ready"),
        ] {
            assert_eq!(get(listener, path).await, Some(200), "{listener}{path}");
        }
    }

    async fn operators_are_answered(&self) {
        assert_eq!(get(self.ops, "/health/ready").await, Some(200));
        assert_eq!(get(self.admin, "/openapi.json").await, Some(200));
    }

    async fn metric(&self, line: &str) -> u64 {
        let (_, text) = exchange(self.ops, "GET /metrics HTTP/1.1\r\n", "").await.unwrap();
        let value = text.lines().find_map(|found| found.strip_prefix(line));
        // Gauges have a fraction.
        value.map_or(0, |value| value.trim().split('.').next().unwrap().parse().unwrap())
    }

    fn ask_to_end(&self) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    async fn ended(mut self) -> ExitStatus {
        timeout(START_WAIT_MAX, self.child.wait()).await.unwrap().unwrap()
    }
}

async fn connect(to: SocketAddr, from: IpAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    timeout(ANSWER_WAIT_MAX, socket.connect(to)).await.ok()?.ok()
}

/// One request on a connection of its own, from 127.0.0.1; status and text, if there is an answer.
async fn exchange(to: SocketAddr, head: &str, body: &str) -> Option<(u16, String)> {
    let asking = async {
        let mut stream = connect(to, [127, 0, 0, 1].into()).await?;
        let length = body.len();
        let head =
            format!("{head}host: shop\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        let status = text.split(' ').nth(1)?.parse().ok()?;
        Some((status, text))
    };
    timeout(ANSWER_WAIT_MAX, asking).await.ok()?
}

async fn get(to: SocketAddr, path: &str) -> Option<u16> {
    exchange(to, &format!("GET {path} HTTP/1.1\r\n"), "").await.map(|(status, _)| status)
}

/// Opens a connection that is silent or stops within its head, and holds it until it is closed.
async fn hold(to: SocketAddr, from: IpAddr, is_silent: bool) {
    let Some(mut stream) = connect(to, from).await else {
        return;
    };
    if !is_silent && stream.write_all(HALF_HEAD).await.is_err() {
        return;
    }
    let mut rest = Vec::new();
    let _end = stream.read_to_end(&mut rest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_with_5000_silent_connections_stops_no_other() {
    let process = Process::start(&[]).await;
    let flooder = IpAddr::from([127, 0, 0, 2]);
    let mut flood = JoinSet::new();
    for number in 0..5_000 {
        flood.spawn(hold(process.api, flooder, number % 2 == 0));
        if number % 500 == 499 {
            process.serves_others().await;
        }
        // At most so many descriptors of this test, which has a limit too.
        if 400 <= flood.len() {
            flood.join_next().await;
        }
    }
    process.serves_others().await;
    let refused = r#"http_connections_refused_total{service="checkout-api"}"#;
    let refused = process.metric(refused).await;
    assert!(4_000 < refused, "{refused} connections beyond the 64 of an address were refused");
    let failures = r#"http_accept_failures_total{service="checkout-api"}"#;
    assert_eq!(process.metric(failures).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_listener_without_places_leaves_operators_theirs_and_recovers() {
    let process = Process::start(&[]).await;
    let mut flood = JoinSet::new();
    let begun = Instant::now();
    for number in 0..PLACES {
        let from = [127, 0, 1, u8::try_from(number % 60 + 1).unwrap()];
        flood.spawn(hold(process.api, from.into(), number % 2 == 0));
    }
    let held = r#"http_connections{service="checkout-api"}"#;
    eventually(ANSWER_WAIT_MAX, || async {
        (process.metric(held).await == u64::try_from(PLACES).unwrap()).then_some(())
    })
    .await;
    process.operators_are_answered().await;
    eventually(PLACE_WAIT_MAX.saturating_sub(begun.elapsed()), || async {
        (get(process.api, "/openapi.json").await? == 200).then_some(())
    })
    .await;
    process.operators_are_answered().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_ends_is_unready_first_and_its_operators_last() {
    let process = Process::start(&[("DRAIN_DELAY_SECONDS", "3")]).await;
    process.ask_to_end();
    eventually(ANSWER_WAIT_MAX, || async {
        (get(process.ops, "/health/ready").await? == 503).then_some(())
    })
    .await;
    // A balancer has not noticed yet: a client that comes is served.
    assert_eq!(get(process.api, "/openapi.json").await, Some(200));
    // A client that is slow to send its head keeps the process from ending for a while.
    let slow = tokio::spawn(hold(process.api, [127, 0, 0, 1].into(), false));
    eventually(ANSWER_WAIT_MAX, || async {
        get(process.api, "/openapi.json").await.is_none().then_some(())
    })
    .await;
    assert_eq!(get(process.ops, "/health/ready").await, Some(503));
    assert!(process.ended().await.success());
    slow.await.unwrap();
}

/// Behind a proxy that is not named, all shoppers would share its address and its allowance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_try_many_accounts_and_a_trusted_proxy_names_it() {
    let limits = [("TRUSTED_PROXIES", "127.0.0.0/8"), ("LOGIN_ADDRESS_TRIES", "3")];
    let slowly = ("LOGIN_ADDRESS_REFILL_MS", "3600000");
    let process = Process::start(&[limits.as_slice(), &[slowly]].concat()).await;
    let log_in =
        async |forwarded: &str, name: &str| log_in(process.api, forwarded, name.to_owned()).await;
    for name in ["a", "b", "c"] {
        assert_eq!(log_in("203.0.113.7", name).await.0, 401);
    }
    let (status, text) = log_in("6.6.6.6, 203.0.113.7, 127.0.0.3", "d").await;
    assert_eq!(status, 429, "{text}");
    assert!(text.contains("auth.throttled") && text.contains("ratelimit-policy"), "{text}");
    assert_eq!(log_in("203.0.113.8", "d").await.0, 401);
}

/// Two addresses send 16 wrong passwords each at once, as many as the bodies of an address may be; a
/// third address logs in meanwhile.
///
/// What prevents the rest are the places of an address (`PasswordHashes::enter`). Seen to fail without
/// them: the 32 take all 25 places of the queue, and the third address is answered 503.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_logins_leaves_places_of_the_queue_to_others() {
    let settings = [
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
        ("LOGIN_ADDRESS_TRIES", "0"),
        ("PASSWORD_HASHES_MAX", "1"),
    ];
    let process = Process::start(&settings).await;
    let mut flood = JoinSet::new();
    for number in 0..32 {
        let forwarded = if number % 2 == 0 { "203.0.113.7" } else { "203.0.113.8" };
        flood.spawn(log_in(process.api, forwarded, format!("flood-{number}")));
    }
    // The flood has arrived once one of it is refused for want of a place.
    let (mut tried, mut refused) = (0, None);
    while refused.is_none() {
        let (status, text) = flood.join_next().await.unwrap().unwrap();
        tried += usize::from(status == 401);
        refused = (status != 401).then_some((status, text));
    }
    let (status, text) = log_in(process.api, "203.0.113.9", "other".to_owned()).await;
    assert_eq!(status, 401, "after {tried} of the flood: {text}");
    let (status, text) = refused.unwrap();
    assert_eq!(status, 429, "{text}");
    assert!(text.contains("auth.throttled") && text.contains("retry-after: 1"), "{text}");
}

/// Tries to log in with a wrong password, as the client that a proxy names.
async fn log_in(api: SocketAddr, forwarded: &str, name: String) -> (u16, String) {
    let body = json!({ "email": format!("{name}@example.com"), "password": "wrong" });
    let head = format!(
        "POST /api/auth/login HTTP/1.1\r\nx-forwarded-for: {forwarded}\r\n\
         content-type: application/json\r\n"
    );
    exchange(api, &head, &body.to_string()).await.unwrap()
}

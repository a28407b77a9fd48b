//! Both APIs under one address, as a reverse proxy serves them in production.
//!
//! Reads the head of a request, picks the API by method and path, and copies bytes both ways. Each
//! connection carries one request: the API is asked to close it, so that the next one can go to the
//! other API. For a shop on one machine; it knows no TLS, no limits per address and no caching.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use service_kit::clock::SystemClock;
use service_kit::shutdown::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::ports::{Ports, loopback};

/// Longest head of a request.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest wait for it.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest exchange of one request.
const EXCHANGE_WAIT_MAX: Duration = Duration::from_mins(1);
/// Connections at once.
const CONNECTIONS_MAX: usize = 512;
/// Pause after a connection that could not be accepted, for example for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The answer to a head that the APIs would read otherwise than the front does.
const MALFORMED: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Where the two APIs listen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behind {
    /// Answers what reads the read models.
    pub(crate) storefront: SocketAddr,
    /// Answers everything else.
    pub(crate) checkout: SocketAddr,
}

impl Behind {
    pub(crate) fn of(ports: &Ports) -> Self {
        Self { storefront: loopback(ports.storefront), checkout: loopback(ports.checkout) }
    }
}

/// Serves until `shutdown`; exchanges under way are cut off.
///
/// # Errors
/// The address is taken.
pub(crate) async fn serve(at: SocketAddr, behind: Behind, shutdown: Shutdown) -> io::Result<()> {
    let listener = TcpListener::bind(at).await?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let clock = SystemClock::shared();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let accepted = tokio::select! {
            () = shutdown.requested() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let Ok((client, from)) = accepted else {
            clock.sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let until = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = until.requested() => {}
                // An exchange that breaks off is the client's or the API's to report.
                exchanged = timeout(EXCHANGE_WAIT_MAX, exchange(client, from.ip(), behind)) => drop(exchanged),
            }
            drop(place);
        });
    }
}

async fn exchange(mut client: TcpStream, from: IpAddr, behind: Behind) -> io::Result<()> {
    let Ok(head) = timeout(HEAD_WAIT_MAX, head(&mut client)).await else { return Ok(()) };
    let head = head?;
    if has_bare_line_feed(&head) {
        return client.write_all(MALFORMED).await;
    }
    let Some(end_of_line) = head.windows(2).position(|two| two == b"\r\n") else {
        return Ok(());
    };
    let (line, rest) = head.split_at(end_of_line);
    let mut api = TcpStream::connect(api_for(&head, behind)).await?;
    api.write_all(line).await?;
    api.write_all(format!("\r\nConnection: close\r\nX-Forwarded-For: {from}").as_bytes()).await?;
    api.write_all(rest).await?;
    tokio::io::copy_bidirectional(&mut client, &mut api).await?;
    Ok(())
}

/// What arrives up to the end of the head, and what comes with it.
async fn head(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(1024);
    loop {
        if client.read_buf(&mut head).await? == 0 || HEAD_BYTES_MAX < head.len() {
            return Ok(Vec::new());
        }
        if head.windows(4).any(|four| four == b"\r\n\r\n") {
            return Ok(without_own_lines(&head));
        }
    }
}

/// The head without the client's own `Connection` line, which concerns only its own connection, and
/// without `X-Forwarded-For`, which no client may write.
fn without_own_lines(received: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(received.len());
    let mut rest = received;
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let (line, after) = rest.split_at(end + 2);
        if line == b"\r\n" {
            break;
        }
        let name = line.to_ascii_lowercase();
        if !name.starts_with(b"connection:") && !name.starts_with(b"x-forwarded-for:") {
            kept.extend_from_slice(line);
        }
        rest = after;
    }
    kept.extend_from_slice(rest);
    kept
}

/// Whether a line of the head ends with a line feed alone. The APIs take that for the end of a line,
/// so a line that begins there would pass `without_own_lines`.
fn has_bare_line_feed(received: &[u8]) -> bool {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(received.len());
    let head = received.get(..end).unwrap_or(received);
    let mut before = b' ';
    head.iter().any(|byte| {
        let is_bare = *byte == b'\n' && before != b'\r';
        before = *byte;
        is_bare
    })
}

/// Reading is the storefront's, save what the command API alone knows.
fn api_for(head: &[u8], behind: Behind) -> SocketAddr {
    let text = String::from_utf8_lossy(head);
    let mut words = text.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let reads = match method {
        "GET" | "HEAD" => true,
        "OPTIONS" => text.to_ascii_lowercase().contains("access-control-request-method: get"),
        _ => false,
    };
    let is_checkouts = ["/api/auth", "/payments/return"].iter().any(|own| path.starts_with(own));
    if reads && !is_checkouts { behind.storefront } else { behind.checkout }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_go_to_the_storefront_and_the_rest_to_the_command_api() {
        let behind = Behind { storefront: loopback(1), checkout: loopback(2) };
        for (head, port) in [
            ("GET /api/items?page=1 HTTP/1.1\r\n\r\n", 1),
            ("HEAD /api/orders HTTP/1.1\r\n\r\n", 1),
            ("POST /api/orders HTTP/1.1\r\n\r\n", 2),
            ("GET /payments/return/7/1-n?pg_token=t HTTP/1.1\r\n\r\n", 2),
            ("GET /api/auth/session HTTP/1.1\r\n\r\n", 2),
            ("OPTIONS /api/items HTTP/1.1\r\nAccess-Control-Request-Method: GET\r\n\r\n", 1),
            ("OPTIONS /api/items HTTP/1.1\r\nAccess-Control-Request-Method: POST\r\n\r\n", 2),
        ] {
            assert_eq!(api_for(head.as_bytes(), behind).port(), port, "{head}");
        }
    }

    #[test]
    fn a_client_writes_no_address_of_its_own() {
        let head = b"GET / HTTP/1.1\r\nX-Forwarded-For: 9.9.9.9\r\nHost: a\r\n\r\n";
        assert_eq!(without_own_lines(head), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(!has_bare_line_feed(head));
        // hyper reads two lines here.
        assert!(has_bare_line_feed(b"GET / HTTP/1.1\r\nHost: a\nX-Forwarded-For: 9.9.9.9\r\n\r\n"));
        assert!(!has_bare_line_feed(b"POST / HTTP/1.1\r\nHost: a\r\n\r\nbody\nbody"));
    }

    #[test]
    fn the_clients_connection_line_is_not_passed_on() {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nX: 1\r\n\r\n{\"b\":1}";
        let kept = without_own_lines(head);
        assert_eq!(kept, b"POST / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n{\"b\":1}");
    }
}

//! Running an app on a listener until told to stop, and letting what is under way finish.
//!
//! A place is taken before a connection is accepted, so a full listener leaves further clients in
//! the kernel's queue instead of taking descriptors that the process needs for its work. poem's own
//! server is not used: it gives hyper no timer, so that a silent connection stays for ever, and it
//! repeats a failing `accept` without a pause.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use poem::endpoint::BoxEndpoint;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{EndpointExt, IntoEndpoint, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::client_address::UNTRUSTED_FORWARDS_TOTAL;
use super::connection::{Accepted, Ended, Ends, serve_connection};
use super::edge::{AddressPlace, Addresses, Limits};
use crate::clock::{Clock, SystemClock};
use crate::shutdown::{self, Shutdown};

/// Longest wait for requests under way after the end was asked for. Longer than any deadline of a
/// request; after it connections are cut.
pub const DRAIN_WAIT_MAX: Duration = Duration::from_secs(20);
/// Pause after `accept` failed: without descriptors it would fail again at once, and spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections open now, by service. Alert: near `http_connection_places`.
const CONNECTIONS: &str = "http_connections";
/// Connections that may be open at once, by service.
const CONNECTION_PLACES: &str = "http_connection_places";
/// Failures of `accept`, by service: the process has no descriptors left.
const ACCEPT_FAILURES_TOTAL: &str = "http_accept_failures_total";
/// Connections closed because their address held too many, by service.
const CONNECTIONS_REFUSED_TOTAL: &str = "http_connections_refused_total";
/// Connections closed because no request arrived in time, by service.
const CONNECTIONS_TIMED_OUT_TOTAL: &str = "http_connections_timed_out_total";

/// Describes the metrics of connections.
fn describe_connections() {
    describe_gauge!(CONNECTIONS, Unit::Count, "connections open now");
    describe_gauge!(CONNECTION_PLACES, Unit::Count, "connections that may be open at once");
    describe_counter!(ACCEPT_FAILURES_TOTAL, Unit::Count, "failures to accept a connection");
    describe_counter!(
        CONNECTIONS_REFUSED_TOTAL,
        Unit::Count,
        "connections closed because their address held too many"
    );
    describe_counter!(
        CONNECTIONS_TIMED_OUT_TOTAL,
        Unit::Count,
        "connections closed because no request arrived in time"
    );
    describe_counter!(
        UNTRUSTED_FORWARDS_TOTAL,
        Unit::Count,
        "requests with X-Forwarded-For from a peer that is no trusted proxy"
    );
}

/// A bound TCP socket, from the standard library or from tokio.
#[derive(Debug)]
pub enum Listener {
    /// Bound before the runtime was there.
    Std(std::net::TcpListener),
    /// Bound within the runtime.
    Tokio(tokio::net::TcpListener),
}

impl From<std::net::TcpListener> for Listener {
    fn from(listener: std::net::TcpListener) -> Self {
        Self::Std(listener)
    }
}

impl From<tokio::net::TcpListener> for Listener {
    fn from(listener: tokio::net::TcpListener) -> Self {
        Self::Tokio(listener)
    }
}

impl Listener {
    fn into_tokio(self) -> io::Result<TcpListener> {
        match self {
            Self::Tokio(listener) => Ok(listener),
            Self::Std(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            }
        }
    }
}

/// A server could not run.
#[derive(Debug, thiserror::Error)]
#[error("serve {name}")]
pub struct ServeError {
    name: &'static str,
    #[source]
    source: io::Error,
}

/// As [`serve_with`], with the limits of a listener for operators or administrators.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve<A>(
    name: &'static str,
    listener: impl Into<Listener>,
    app: A,
    shutdown: Shutdown,
) -> Result<(), ServeError>
where
    A: IntoEndpoint,
    A::Endpoint: 'static,
{
    serve_with(Limits::reserved(), name, listener, app, shutdown).await
}

/// Answers requests on `listener` within `limits` until `shutdown`, then stops accepting, lets
/// requests under way finish for at most [`DRAIN_WAIT_MAX`], and returns.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve_with<A>(
    limits: Limits,
    name: &'static str,
    listener: impl Into<Listener>,
    app: A,
    shutdown: Shutdown,
) -> Result<(), ServeError>
where
    A: IntoEndpoint,
    A::Endpoint: 'static,
{
    let failed = |source| ServeError { name, source };
    describe_connections();
    let listener = listener.into().into_tokio().map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(listener = name, %address, places = limits.places, "listening");
    let (cut, when_cut) = shutdown::pair();
    let server = Server {
        name,
        app: Arc::new(app.into_endpoint().map_to_response().boxed()),
        places: Arc::new(Semaphore::new(limits.places)),
        limits: Arc::new(limits),
        addresses: Addresses::default(),
        connections: TaskTracker::new(),
        ends: Ends { graceful: shutdown, cut: when_cut },
    };
    server.accept_all(listener).await;
    server.connections.close();
    if timeout(DRAIN_WAIT_MAX, server.connections.wait()).await.is_err() {
        tracing::warn!(listener = name, "requests that did not finish are cut");
        cut.trigger();
        server.connections.wait().await;
    }
    tracing::info!(listener = name, "stopped listening");
    Ok(())
}

struct Server {
    name: &'static str,
    app: Arc<BoxEndpoint<'static, Response>>,
    places: Arc<Semaphore>,
    limits: Arc<Limits>,
    addresses: Addresses,
    connections: TaskTracker,
    ends: Ends,
}

impl Server {
    /// Accepts connections until the end is asked for, then closes the listener.
    async fn accept_all(&self, listener: TcpListener) {
        let shutdown = &self.ends.graceful;
        gauge!(CONNECTION_PLACES, "service" => self.name)
            .set(u32::try_from(self.limits.places).unwrap_or(u32::MAX));
        let mut is_failing = false;
        loop {
            // The place comes first: a connection that was accepted holds a descriptor.
            let accepted = tokio::select! {
                biased;
                () = shutdown.requested() => return,
                accepted = self.accept_one(&listener) => accepted,
            };
            match accepted {
                Ok((place, socket, remote)) => {
                    is_failing = false;
                    self.admit(place, socket, remote);
                }
                Err(error) => {
                    counter!(ACCEPT_FAILURES_TOTAL, "service" => self.name).increment(1);
                    if is_of_the_client(&error) {
                        continue;
                    }
                    if !is_failing {
                        is_failing = true;
                        tracing::error!(listener = self.name, %error, "connections cannot be accepted");
                    }
                    tokio::select! {
                        () = shutdown.requested() => return,
                        () = SystemClock.sleep(ACCEPT_PAUSE) => {}
                    }
                }
            }
        }
    }

    async fn accept_one(
        &self,
        listener: &TcpListener,
    ) -> io::Result<(OwnedSemaphorePermit, TcpStream, SocketAddr)> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        let (socket, remote) = listener.accept().await?;
        Ok((place, socket, remote))
    }

    /// Serves an accepted connection, unless its address holds too many.
    fn admit(&self, place: OwnedSemaphorePermit, socket: TcpStream, remote: SocketAddr) {
        let Ok(counted) = self.count(remote) else {
            counter!(CONNECTIONS_REFUSED_TOTAL, "service" => self.name).increment(1);
            return;
        };
        // Either fails only when the client has gone already.
        let (Ok(()), Ok(local)) = (socket.set_nodelay(true), socket.local_addr()) else {
            return;
        };
        let accepted =
            Accepted { socket, local: LocalAddr(local.into()), remote: RemoteAddr(remote.into()) };
        let (name, app, ends) = (self.name, Arc::clone(&self.app), self.ends.clone());
        let limits = Arc::clone(&self.limits);
        self.connections.spawn(async move {
            let _held = (place, counted, Open::new(name));
            if serve_connection(accepted, app, &limits, ends).await == Ended::TimedOut {
                counter!(CONNECTIONS_TIMED_OUT_TOTAL, "service" => name).increment(1);
            }
        });
    }

    /// Counts the connection against its address; a trusted proxy's are not counted.
    fn count(&self, remote: SocketAddr) -> Result<Option<AddressPlace>, TooMany> {
        match self.limits.per_address {
            Some(most) if !self.limits.trusted_proxies.contains(remote.ip()) => {
                self.addresses.enter(remote.ip(), most).map(Some).ok_or(TooMany)
            }
            Some(_) | None => Ok(None),
        }
    }
}

/// An address holds all the connections it may.
struct TooMany;

/// An open connection, in the gauge until it is dropped.
struct Open(&'static str);

impl Open {
    fn new(name: &'static str) -> Self {
        gauge!(CONNECTIONS, "service" => name).increment(1);
        Self(name)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        gauge!(CONNECTIONS, "service" => self.0).decrement(1);
    }
}

/// Whether the client broke off before it was accepted, which is no fault of this process.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

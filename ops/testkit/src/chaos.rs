//! A network that fails when told to: a TCP proxy to put between a service and what it needs.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::eventually::found_within;

/// How long to wait for our own port to be free again after refusing.
const REBIND_WAIT_MAX: Duration = Duration::from_secs(10);
/// Bytes carried at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    Cut,
    Refuse,
    Hang,
}

/// A TCP proxy in front of one address. Passes everything until told otherwise; ends when dropped.
#[derive(Debug)]
pub struct ChaosProxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    /// What the accepting task has got to.
    reached: watch::Receiver<Mode>,
    _task: AbortOnDropHandle<()>,
}

impl ChaosProxy {
    /// A proxy on a free loopback port in front of `upstream`.
    ///
    /// # Panics
    /// No port can be had.
    pub async fn start(upstream: SocketAddr) -> Self {
        let (listener, address) = listen().await;
        let (mode, orders) = watch::channel(Mode::Pass);
        let (report, reached) = watch::channel(Mode::Pass);
        let task = tokio::spawn(accept(listener, address, upstream, orders, report));
        Self { address, mode, reached, _task: AbortOnDropHandle::new(task) }
    }

    /// A proxy in front of the server that `url` names, and the same URL through the proxy.
    ///
    /// # Panics
    /// The URL names no loopback host with a port.
    pub async fn before(url: &str) -> (Self, String) {
        let proxy = Self::start(SocketAddr::from(([127, 0, 0, 1], port_of(url)))).await;
        let through = led_through(url, proxy.address);
        (proxy, through)
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Carries everything again; connections that hung go on.
    pub async fn pass(&mut self) {
        self.turn(Mode::Pass).await;
    }

    /// Breaks every connection, and every new one right after it is made.
    pub async fn cut(&mut self) {
        self.turn(Mode::Cut).await;
    }

    /// Breaks every connection and refuses new ones, as if no server ran.
    pub async fn refuse(&mut self) {
        self.turn(Mode::Refuse).await;
    }

    /// Accepts and keeps connections, but carries not one byte, in either direction.
    pub async fn hang(&mut self) {
        self.turn(Mode::Hang).await;
    }

    /// Returns once new connections meet the new mode.
    async fn turn(&mut self, to: Mode) {
        self.mode.send_replace(to);
        let arrived = self.reached.wait_for(|mode| *mode == to).await.is_ok();
        assert!(arrived, "the proxy's task has ended");
    }
}

/// A free loopback port.
pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let bound = match TcpListener::bind("127.0.0.1:0").await {
        Ok(listener) => listener.local_addr().map(|address| (listener, address)),
        Err(error) => Err(error),
    };
    bound.unwrap_or_else(|error| panic!("a port for the proxy: {error}"))
}

/// The port of the server on this machine that `url` names.
pub(crate) fn port_of(url: &str) -> u16 {
    let (_, digits, _) = around_port(url);
    digits.parse().unwrap_or_else(|error| panic!("read the port: {error}"))
}

/// `url` with `address` in the place of its server.
pub(crate) fn led_through(url: &str, address: SocketAddr) -> String {
    let (before, _, after) = around_port(url);
    format!("{before}{address}{after}")
}

fn around_port(url: &str) -> (&str, &str, &str) {
    let (before, rest) = url.split_once("127.0.0.1:").unwrap_or_else(|| {
        panic!("expected a URL on 127.0.0.1 with a port");
    });
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    (before, digits, after)
}

async fn accept(
    listener: TcpListener,
    address: SocketAddr,
    upstream: SocketAddr,
    mut orders: watch::Receiver<Mode>,
    report: watch::Sender<Mode>,
) {
    let mut listener = Some(listener);
    loop {
        let mode = *orders.borrow_and_update();
        match mode {
            Mode::Refuse => listener = None,
            Mode::Pass | Mode::Cut | Mode::Hang if listener.is_none() => {
                let bind = || async move { TcpListener::bind(address).await.ok() };
                listener = found_within(REBIND_WAIT_MAX, bind).await;
            }
            Mode::Pass | Mode::Cut | Mode::Hang => {}
        }
        report.send_replace(mode);
        let next = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = orders.changed() => if changed.is_err() { return },
            accepted = next => if let Ok((near, _)) = accepted {
                tokio::spawn(carry(near, upstream, orders.clone()));
            },
        }
    }
}

/// One connection, until either side or the mode ends it. Dropping both sockets breaks it.
async fn carry(near: TcpStream, upstream: SocketAddr, mut orders: watch::Receiver<Mode>) {
    let mut broken = orders.clone();
    let carried = async {
        // A connection made while hanging is held before the server hears of it.
        if orders.wait_for(|mode| *mode != Mode::Hang).await.is_err() {
            return;
        }
        let Ok(far) = TcpStream::connect(upstream).await else {
            return;
        };
        drop((near.set_nodelay(true), far.set_nodelay(true)));
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        let there = copy(near_in, far_out, orders.clone());
        let back = copy(far_in, near_out, orders);
        drop(tokio::join!(there, back));
    };
    tokio::select! {
        biased;
        _ = broken.wait_for(|mode| matches!(mode, Mode::Cut | Mode::Refuse)) => (),
        () = carried => (),
    }
}

/// Carries bytes one way, holding what it has read while the mode is to hang.
async fn copy(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut orders: watch::Receiver<Mode>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        from.readable().await?;
        let size = match from.try_read(&mut chunk) {
            Ok(0) => return to.shutdown().await,
            Ok(size) => size,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        if orders.wait_for(|mode| *mode != Mode::Hang).await.is_err() {
            return Ok(());
        }
        to.write_all(chunk.get(..size).unwrap_or_default()).await?;
    }
}

//! One connection: its requests, and the deadline by which the next one must have arrived.
//!
//! hyper's own head time-out does not cover a connection whose protocol is not known yet, nor an
//! HTTP/2 connection without requests, and counts idle time as time for a head. So the deadline is
//! kept here, for both protocols: first request, idle, head.

use std::convert::Infallible;
use std::io::IoSlice;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use poem::endpoint::BoxEndpoint;
use poem::http::uri::Scheme;
use poem::http::{self, Version};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Endpoint, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::edge::Limits;
use crate::shutdown::Shutdown;

/// Requests of one HTTP/2 connection at once. Browsers ask for 100.
const HTTP2_STREAMS_MAX: u32 = 100;
/// Streams that a client may open and reset before it is sent away (the rapid-reset attack).
const HTTP2_PENDING_RESETS_MAX: usize = 20;
/// Longest head of an HTTP/2 request, in bytes.
const HTTP2_HEAD_BYTES_MAX: u32 = 16 * 1024;
/// Longest buffered part of an HTTP/1 connection, in bytes; a head must fit.
const HTTP1_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// A client that was accepted.
pub(super) struct Accepted {
    pub(super) socket: TcpStream,
    pub(super) local: LocalAddr,
    pub(super) remote: RemoteAddr,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The client or the protocol ended it, or the server's own end did.
    Closed,
    /// No request arrived in time.
    TimedOut,
}

/// When connections have to end.
#[derive(Clone)]
pub(super) struct Ends {
    /// No further requests; those under way finish.
    pub(super) graceful: Shutdown,
    /// At once, whatever is under way.
    pub(super) cut: Shutdown,
}

/// Answers the requests of one connection until either side ends it.
pub(super) async fn serve_connection(
    accepted: Accepted,
    app: Arc<BoxEndpoint<'static, Response>>,
    limits: &Limits,
    ends: Ends,
) -> Ended {
    let Accepted { socket, local, remote } = accepted;
    let pulse = Arc::new(Pulse::new(limits));
    let requests = Arc::clone(&pulse);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let under_way = requests.begin(request.version());
        let request = (request, local.clone(), remote.clone(), Scheme::HTTP).into();
        let app = Arc::clone(&app);
        async move {
            let response = app.get_response(request).await;
            drop(under_way);
            Ok::<http::Response<_>, Infallible>(response.into())
        }
    });
    let io = TokioIo::new(Watched { socket, pulse: Arc::clone(&pulse) });
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut timed_out = pin!(pulse.timed_out());
    tokio::select! {
        _ended = connection.as_mut() => return Ended::Closed,
        () = timed_out.as_mut() => return Ended::TimedOut,
        () = ends.cut.requested() => return Ended::Closed,
        () = ends.graceful.requested() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ended = connection => Ended::Closed,
        () = timed_out => Ended::TimedOut,
        () = ends.cut.requested() => Ended::Closed,
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(HTTP1_BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_pending_accept_reset_streams(HTTP2_PENDING_RESETS_MAX)
        .max_header_list_size(HTTP2_HEAD_BYTES_MAX);
    builder
}

/// What a connection is doing, and until when it may go on like that.
#[derive(Debug)]
struct Pulse {
    head_wait: Duration,
    idle_wait: Duration,
    state: Mutex<State>,
    /// The deadline moved to before the one that is waited for.
    moved: Notify,
}

#[derive(Debug)]
struct State {
    under_way: usize,
    /// Without a request under way the connection is closed at this moment.
    deadline: Instant,
    /// The moment that is waited for.
    awaited: Instant,
    /// Whether the deadline is that of a head. HTTP/2 has other frames than heads, so there the
    /// deadline between two requests is the idle one alone.
    is_head_begun: bool,
    is_http2: bool,
}

impl Pulse {
    fn new(limits: &Limits) -> Self {
        let first = Instant::now() + limits.head_wait;
        Self {
            head_wait: limits.head_wait,
            idle_wait: limits.idle_wait,
            state: Mutex::new(State {
                under_way: 0,
                deadline: first,
                awaited: first,
                is_head_begun: true,
                is_http2: false,
            }),
            moved: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request's head arrived; it is under way until the guard is dropped.
    fn begin(self: &Arc<Self>, version: Version) -> UnderWay {
        let mut state = self.state();
        state.under_way += 1;
        state.is_http2 = version == Version::HTTP_2;
        UnderWay(Arc::clone(self))
    }

    /// Bytes arrived; between two requests they begin the next head.
    fn received(&self) {
        let mut state = self.state();
        if state.under_way == 0 && !state.is_head_begun && !state.is_http2 {
            state.is_head_begun = true;
            self.set_deadline(&mut state, self.head_wait);
        }
    }

    fn set_deadline(&self, state: &mut State, wait: Duration) {
        state.deadline = Instant::now() + wait;
        if state.deadline < state.awaited {
            self.moved.notify_one();
        }
    }

    /// When to look next: at the deadline, or later while a request is under way, which has deadlines
    /// of its own.
    fn next_look(&self) -> Instant {
        let mut state = self.state();
        let look =
            if state.under_way == 0 { state.deadline } else { Instant::now() + self.idle_wait };
        state.awaited = look;
        look
    }

    /// Ends once the next request is too late.
    async fn timed_out(&self) {
        loop {
            let look = self.next_look();
            if look <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(look) => {}
                () = self.moved.notified() => {}
            }
        }
    }
}

/// A request that is under way.
struct UnderWay(Arc<Pulse>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.under_way -= 1;
        state.is_head_begun = false;
        self.0.set_deadline(&mut state, self.0.idle_wait);
    }
}

/// A socket that reports arriving bytes.
struct Watched {
    socket: TcpStream,
    pulse: Arc<Pulse>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        if read.is_ready() && before < buffer.filled().len() {
            self.pulse.received();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

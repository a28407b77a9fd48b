//! Connections that can be cut: the one thing an HTTP framework does not let a handler do.
//!
//! A cut connection answers every later write with an error, so the server drops it and the
//! caller's socket closes without a byte of an answer. Cutting happens before the handler
//! returns, hence before the first byte of its answer.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use poem::http::uri::Scheme;
use poem::listener::{Acceptor, TcpAcceptor};
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// The open connections, by the caller's address. As many entries as connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<HashMap<SocketAddr, Arc<AtomicBool>>>>);

impl Connections {
    /// Cuts the connection from there, if it is still open.
    pub(crate) fn cut(&self, peer: &SocketAddr) {
        if let Some(cut) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(peer) {
            cut.store(true, Ordering::Release);
        }
    }

    fn opened(&self, peer: SocketAddr) -> Arc<AtomicBool> {
        let cut = Arc::new(AtomicBool::new(false));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, Arc::clone(&cut));
        cut
    }

    /// Forgets a connection, unless its address has been taken by a newer one already.
    fn closed(&self, peer: &SocketAddr, cut: &Arc<AtomicBool>) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(peer).is_some_and(|known| Arc::ptr_eq(known, cut)) {
            open.remove(peer);
        }
    }
}

/// Accepts connections that can be cut.
pub(crate) struct CuttableAcceptor {
    inner: TcpAcceptor,
    connections: Connections,
}

impl CuttableAcceptor {
    pub(crate) fn new(listener: TcpListener, connections: Connections) -> io::Result<Self> {
        Ok(Self { inner: TcpAcceptor::from_tokio(listener)?, connections })
    }
}

impl Acceptor for CuttableAcceptor {
    type Io = CuttableStream;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.inner.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        let (inner, local, remote, scheme) = self.inner.accept().await?;
        let peer = inner.peer_addr()?;
        inner.set_nodelay(true)?;
        let cut = self.connections.opened(peer);
        let connections = self.connections.clone();
        Ok((CuttableStream { inner, cut, peer, connections }, local, remote, scheme))
    }
}

/// One connection that can be cut.
pub(crate) struct CuttableStream {
    inner: TcpStream,
    cut: Arc<AtomicBool>,
    peer: SocketAddr,
    connections: Connections,
}

impl CuttableStream {
    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::Acquire) {
            return Err(io::Error::from(io::ErrorKind::ConnectionReset));
        }
        Ok(())
    }
}

impl Drop for CuttableStream {
    fn drop(&mut self) {
        self.connections.closed(&self.peer, &self.cut);
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

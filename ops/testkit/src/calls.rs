//! A network that fails at the n-th call of PostgreSQL, whatever call that is: for tests that go
//! through all of them.
//!
//! A call is what asks the server for an answer: opening a connection, a simple query, or everything
//! up to a Sync (a statement that is prepared, or executed). Each is forwarded as a whole. The
//! connection of the chosen call breaks either before the server hears of it, so that nothing
//! happened, or when the server has answered it and before the client hears so: what it did is done,
//! a commit included. Other connections are left alone.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::chaos::{led_through, listen, port_of};

/// First message of a client that asks whether to encrypt; the answer is one byte, never a message.
const ENCRYPTION_REQUESTS: [u32; 2] = [80_877_103, 80_877_104];
/// Longest message carried: far above any statement of ours.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// On which side of the server's work the connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never hears of the call.
    BeforeCall,
    /// The server has carried the call out, and its answer is lost.
    BeforeAnswer,
}

/// A proxy in front of one PostgreSQL that counts calls. Passes everything until told otherwise;
/// ends when dropped, with every connection through it.
#[derive(Debug)]
pub struct CallProxy {
    plan: Arc<Mutex<Plan>>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Plan {
    calls: u64,
    cut: Option<(u64, Cut)>,
}

impl CallProxy {
    /// A proxy in front of the server that `url` names, and the same URL through the proxy.
    ///
    /// # Panics
    /// The URL names no loopback host with a port, or no port can be had.
    pub async fn before(url: &str) -> (Self, String) {
        let upstream = SocketAddr::from(([127, 0, 0, 1], port_of(url)));
        let (listener, address) = listen().await;
        let plan = Arc::new(Mutex::new(Plan::default()));
        let task = tokio::spawn(accept(listener, upstream, Arc::clone(&plan)));
        let proxy = Self { plan, _task: AbortOnDropHandle::new(task) };
        (proxy, led_through(url, address))
    }

    /// Counts from the beginning again, and breaks the connection of call number `call`, from 1.
    pub fn cut_at(&self, call: u64, cut: Cut) {
        *lock(&self.plan) = Plan { calls: 0, cut: Some((call, cut)) };
    }

    /// How many calls there have been since the count began.
    pub fn calls(&self) -> u64 {
        lock(&self.plan).calls
    }
}

fn lock(plan: &Mutex<Plan>) -> MutexGuard<'_, Plan> {
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a call; whether and how it is the chosen one.
fn count(plan: &Mutex<Plan>) -> Option<Cut> {
    let mut plan = lock(plan);
    plan.calls += 1;
    let calls = plan.calls;
    plan.cut.and_then(|(chosen, cut)| (chosen == calls).then_some(cut))
}

async fn accept(listener: TcpListener, upstream: SocketAddr, plan: Arc<Mutex<Plan>>) {
    // Its connections end with this task.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            Ok((near, _)) = listener.accept() => {
                connections.spawn(carry(near, upstream, Arc::clone(&plan)));
            }
            Some(_ended) = connections.join_next() => (),
        }
    }
}

/// What the side of the server has to know.
enum Order {
    /// The next thing from the server is one byte and no message.
    Byte,
    /// Swallow the answer to the call of this number of the connection, from 1; then break off.
    Swallow(u64),
}

/// One connection until either side ends it. Dropping the sockets breaks it.
async fn carry(near: TcpStream, upstream: SocketAddr, plan: Arc<Mutex<Plan>>) {
    let Ok(far) = TcpStream::connect(upstream).await else {
        return;
    };
    drop((near.set_nodelay(true), far.set_nodelay(true)));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let (orders, told) = mpsc::unbounded_channel();
    let there = ask(BufReader::new(near_in), far_out, &plan, &orders);
    let back = answer(BufReader::new(far_in), near_out, told);
    // A client that has gone, or a server that has: the other side is told by the broken connection.
    tokio::select! {
        _ended = there => (),
        _ended = back => (),
    }
}

/// Carries whole calls to the server. Ends when the connection is to break.
async fn ask(
    mut from: BufReader<OwnedReadHalf>,
    mut to: OwnedWriteHalf,
    plan: &Mutex<Plan>,
    orders: &mpsc::UnboundedSender<Order>,
) -> io::Result<()> {
    loop {
        let opening = message(&mut from, None).await?;
        let code = opening.get(4..8).and_then(|code| code.try_into().ok()).map(u32::from_be_bytes);
        if !code.is_some_and(|code| ENCRYPTION_REQUESTS.contains(&code)) {
            if pass_call(&opening, 1, &mut to, plan, orders).await?.is_none() {
                return Ok(());
            }
            break;
        }
        drop(orders.send(Order::Byte));
        to.write_all(&opening).await?;
    }
    let (mut call, mut number) = (Vec::new(), 1);
    loop {
        let kind = from.read_u8().await?;
        call.extend(message(&mut from, Some(kind)).await?);
        match kind {
            // Simple query, Sync.
            b'Q' | b'S' => {
                number += 1;
                if pass_call(&call, number, &mut to, plan, orders).await?.is_none() {
                    return Ok(());
                }
                call.clear();
            }
            // Parse, Bind, Describe, Execute, Close: a part of a call.
            b'P' | b'B' | b'D' | b'E' | b'C' => (),
            // Passwords, copied data, Flush, Terminate: no calls, and nothing to wait for.
            _ => {
                to.write_all(&call).await?;
                call.clear();
            }
        }
    }
}

/// Forwards a call unless it is the chosen one; `None` when the connection is to break now.
async fn pass_call(
    call: &[u8],
    number: u64,
    to: &mut OwnedWriteHalf,
    plan: &Mutex<Plan>,
    orders: &mpsc::UnboundedSender<Order>,
) -> io::Result<Option<()>> {
    match count(plan) {
        Some(Cut::BeforeCall) => return Ok(None),
        Some(Cut::BeforeAnswer) => drop(orders.send(Order::Swallow(number))),
        None => (),
    }
    to.write_all(call).await?;
    Ok(Some(()))
}

/// Carries answers to the client. Ends when the connection is to break.
async fn answer(
    mut from: BufReader<OwnedReadHalf>,
    mut to: OwnedWriteHalf,
    mut told: mpsc::UnboundedReceiver<Order>,
) -> io::Result<()> {
    let (mut answered, mut swallowed) = (0, None);
    loop {
        let kind = from.read_u8().await?;
        // Given before the call went out, so it is here before the answer.
        while let Ok(order) = told.try_recv() {
            match order {
                Order::Swallow(number) => swallowed = Some(number),
                Order::Byte => {
                    to.write_u8(kind).await?;
                    return Box::pin(answer(from, to, told)).await;
                }
            }
        }
        let message = message(&mut from, Some(kind)).await?;
        let is_swallowed = swallowed.is_some_and(|number| number <= answered + 1);
        if !is_swallowed {
            to.write_all(&message).await?;
        }
        // ReadyForQuery ends an answer.
        if kind == b'Z' {
            if is_swallowed {
                return Ok(());
            }
            answered += 1;
        }
    }
}

/// One message whose first byte, if it has one, was read already.
async fn message(from: &mut BufReader<OwnedReadHalf>, kind: Option<u8>) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    if !(4..=MESSAGE_BYTES_MAX).contains(&size) {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut message: Vec<u8> = kind.into_iter().chain(length.to_be_bytes()).collect();
    let head = message.len();
    message.resize(head + size - 4, 0);
    from.read_exact(message.get_mut(head..).unwrap_or_default()).await?;
    Ok(message)
}

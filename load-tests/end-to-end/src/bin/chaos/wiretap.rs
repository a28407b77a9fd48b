//! Which recurring keys reached a worker: a proxy on the workers' side of the gateway that reads
//! along.
//!
//! A key stands in one answer and nowhere else, so whether a missing key was lost on the wire or by
//! a worker is known only where the answer passed. A key counts as delivered when the whole answer
//! was written to a connection that the worker had not closed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::Failure;

/// Longest answer that is read along.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Keys that reached a worker, and when.
pub(crate) type Delivered = BTreeMap<String, Instant>;

/// The proxy. Ends when dropped.
pub(crate) struct Wiretap {
    address: SocketAddr,
    delivered: Arc<Mutex<Delivered>>,
    accepting: JoinHandle<()>,
}

impl Wiretap {
    /// A proxy in front of `upstream`.
    pub(crate) async fn start(upstream: SocketAddr) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let delivered: Arc<Mutex<Delivered>> = Arc::default();
        let noted = Arc::clone(&delivered);
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, upstream, Arc::clone(&noted)));
            }
        });
        Ok(Self { address, delivered, accepting })
    }

    /// Where workers find the gateway.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was delivered so far.
    pub(crate) fn delivered(&self) -> Delivered {
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One connection. When either direction ends, both do: the gateway's clients never half-close.
async fn carry(near: TcpStream, upstream: SocketAddr, delivered: Arc<Mutex<Delivered>>) {
    let Ok(far) = TcpStream::connect(upstream).await else {
        return;
    };
    drop((near.set_nodelay(true), far.set_nodelay(true)));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let has_left = AtomicBool::new(false);
    tokio::select! {
        () = requests(near_in, far_out, &has_left) => {}
        () = answers(far_in, near_out, &has_left, &delivered) => {}
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, has_left: &AtomicBool) {
    drop(tokio::io::copy(&mut from, &mut to).await);
    has_left.store(true, Ordering::Release);
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    has_left: &AtomicBool,
    delivered: &Mutex<Delivered>,
) {
    let (mut chunk, mut answer) = (vec![0; 16 * 1024], Vec::new());
    while let Ok(size) = from.read(&mut chunk).await {
        let bytes = chunk.get(..size).unwrap_or_default();
        if bytes.is_empty() || to.write_all(bytes).await.is_err() {
            return;
        }
        answer.extend_from_slice(bytes);
        while let Some((body, length)) = whole(&answer) {
            if let Some(sid) = key_in(body).filter(|_| !has_left.load(Ordering::Acquire)) {
                let mut delivered = delivered.lock().unwrap_or_else(PoisonError::into_inner);
                delivered.entry(sid).or_insert_with(Instant::now);
            }
            answer.drain(..length);
        }
        if ANSWER_BYTES_MAX < answer.len() {
            answer.clear();
        }
    }
}

/// The body of the first answer in `bytes` if it is whole, and the length of that answer.
fn whole(bytes: &[u8]) -> Option<(&[u8], usize)> {
    const END: &[u8] = b"\r\n\r\n";
    let head = bytes.windows(END.len()).position(|window| window == END)?;
    let text = String::from_utf8_lossy(bytes.get(..head)?).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"))?;
    let (begin, length) = (head + END.len(), length.trim().parse::<usize>().ok()?);
    let end = begin.checked_add(length)?;
    Some((bytes.get(begin..end)?, end))
}

/// The recurring key in an answer that can be read.
fn key_in(body: &[u8]) -> Option<String> {
    let json: Value = serde_json::from_slice(body).ok()?;
    // Only an approval holds both.
    json.get("aid")?;
    Some(json.get("sid")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_in_a_whole_answer_only() {
        let body = r#"{"aid":"A1","tid":"T1","sid":"S1"}"#;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let (found, length) = whole(answer.as_bytes()).unwrap();
        assert_eq!((key_in(found), length), (Some("S1".to_owned()), answer.len()));
        assert!(whole(&answer.as_bytes()[..answer.len() - 1]).is_none());
        assert_eq!(key_in(&body.as_bytes()[..12]), None);
    }
}
